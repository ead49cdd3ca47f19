"""Stage ``rollout``: a trained spacing model scored on the test band and rolled out."""

from specseq.stages.request import serve
from specseq.studies.zeta.rollout import RolloutRequest, evaluate_run

if __name__ == "__main__":
    serve(RolloutRequest, evaluate_run, __doc__)
