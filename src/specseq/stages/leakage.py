"""Stage ``leakage``: how much of what a benchmark tests on lies in the training corpus."""

from specseq.scoring.leakage import LeakageRequest, measure_leakage
from specseq.stages.request import serve

if __name__ == "__main__":
    serve(LeakageRequest, measure_leakage, __doc__)
