"""Evaluate a forecaster on a benchmark, plain and under every filter and reversal.

Parameters (``--params``): those of :class:`specseq.scoring.config.ScoreRequest`. The name of ``forecaster``
is left out where ``--weights`` gives the model. A model that was trained on filtered series is scored as it
forecasts, with its own reversal, and under each of ``self``, ``oracle`` and ``fir`` that is asked for.

The result has the tidy layout of :mod:`specseq.scoring.results`. Where the oracle is among the reversals,
rows of ``seasonal_naive`` stand beside the forecaster's, plain and under the same oracle.
"""

from pathlib import Path

from specseq.errors import InputError
from specseq.scoring.config import ScoreRequest
from specseq.scoring.score import score_benchmark
from specseq.settings import read
from specseq.stages import arguments


def main() -> None:
    """Read the arguments, evaluate, write the long table."""
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="weights.safetensors of a trained run")
    parser.add_argument("--data", type=Path, required=True, help="folder of the benchmark's data")
    parser.add_argument("--tasks", type=Path, help="FEV-Bench: a tasks.yaml")
    parser.add_argument("--designed", type=Path, help="table of the design stage with the matched filters")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    options = parser.parse_args()
    forecaster = dict(options.params.get("forecaster", {}))
    if (options.weights is None) == ("name" not in forecaster):
        raise InputError("forecaster", "give either a name or --weights")
    if options.weights:
        forecaster["name"] = str(options.weights)
    files = {name: getattr(options, name) for name in ("data", "tasks", "designed", "out")}
    given = {name: str(path) for name, path in files.items() if path is not None}
    score_benchmark(read(ScoreRequest, {**options.params, **given, "forecaster": forecaster}, "params"))


if __name__ == "__main__":
    arguments.run(main)
