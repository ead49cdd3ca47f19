"""Stage ``prepare_gift_eval``: the manifest of the evaluation sets, and the sets where they are embedded."""

from specseq.series.preparation import EvaluationSetsRequest, prepare_evaluation_sets
from specseq.stages.request import serve

if __name__ == "__main__":
    serve(EvaluationSetsRequest, prepare_evaluation_sets, __doc__)
