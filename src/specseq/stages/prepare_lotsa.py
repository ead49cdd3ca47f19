"""Stage ``prepare_lotsa``: the training corpus, embedded or in LOTSA's layout, as a memory-mapped store."""

from specseq.series.preparation import CorpusRequest, prepare_corpus
from specseq.stages.request import serve

if __name__ == "__main__":
    serve(CorpusRequest, prepare_corpus, __doc__)
