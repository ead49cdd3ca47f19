"""Stage ``rollout``: score a trained spacing model on the test band and roll it out.

Parameters: the run's. ``evaluation`` holds the sizes (specseq.spacings.config.SpacingEvaluation),
``data.set`` names the set that the run was trained on and is tested on. Writes the long shape with the key
column ``context``; a run that diverged leaves the single metric ``diverged``, with the reason in the file's
provenance. Beside the evaluation's metrics there are ``training_spacings``, the different spacings to train
on, and ``spacings_read``, how many were read.
"""

import os
from pathlib import Path
from typing import Any

import torch

from specseq.settings import read
from specseq.spacings.config import SpacingEvaluation, SpacingModelConfig
from specseq.spacings.evaluation import Row, evaluate_model
from specseq.spacings.model import rebuild
from specseq.spacings.sets import SpacingSet, load_spacing_set
from specseq.stages import arguments
from specseq.tables import Provenance, long_table, write_parquet
from specseq.training.checkpoint import diverged, load_weights


def training_size(params: dict[str, Any], train: SpacingSet) -> list[Row]:
    """How much a run had to learn from, as rows."""
    training, limit = params["training"], params.get("data", {}).get("limit")
    length = read(SpacingModelConfig, params["model"], "model").length
    return [
        {"metric": "training_spacings", "value": min(limit or len(train), len(train))},
        {"metric": "spacings_read", "value": training["steps"] * training["batch"] * length},
    ]


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors of the run")
    parser.add_argument("--spacings", type=Path, required=True, help="manifest of the spacing sets")
    parser.add_argument("--run", required=True, help="run id, study/sweep/point")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    tensors, trained = load_weights(options.weights)
    params = {**trained, **options.params}
    seed, name = int(params["seed"]), params.get("data", {}).get("set", "real")
    provenance = Provenance("rollout", params, run=options.run, seed=seed)
    test = load_spacing_set(options.spacings, name, "test")
    reason = diverged(options.weights)
    if reason is None:
        model = rebuild(trained, tensors)
        sizes = read(SpacingEvaluation, params.get("evaluation", {}), "evaluation")
        rows = evaluate_model(model, test, sizes, seed)
        rows += training_size(trained, load_spacing_set(options.spacings, name, "train"))
    else:
        provenance.facts["diverged"] = reason
        rows = [{"metric": "diverged", "value": 1.0}]
    common = {
        "study": "zeta",
        "run": options.run,
        "seed": seed,
        "benchmark": "rollout",
        "task": f"{name}/test",
    }
    table = long_table([{**common, "context": -1, **row} for row in rows], keys=("context",))
    write_parquet(options.out, table, provenance)


if __name__ == "__main__":
    arguments.run(main)
