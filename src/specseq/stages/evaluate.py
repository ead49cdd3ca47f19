"""Stage ``evaluate``: a forecaster scored on a benchmark, plain and under every filter and reversal.

A model that was trained on filtered series is scored as it forecasts, with its own reversal, and under each
of ``self``, ``oracle`` and ``fir`` that is asked for. The result has the tidy layout of
:mod:`specseq.scoring.results`. Where the oracle is among the reversals, rows of ``seasonal_naive`` stand
beside the forecaster's, plain and under the same oracle.
"""

from specseq.scoring.config import ScoreRequest
from specseq.scoring.score import score_benchmark
from specseq.stages.request import serve

if __name__ == "__main__":
    serve(ScoreRequest, score_benchmark, __doc__)
