"""Stage ``residuals``: autocovariance of a forecaster's errors, measured before the test windows begin."""

from specseq.scoring.residuals import ResidualsRequest, measure_residuals
from specseq.stages.request import serve

if __name__ == "__main__":
    serve(ResidualsRequest, measure_residuals, __doc__)
