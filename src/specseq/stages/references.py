"""Stage ``references``: the rows every zeta table carries, without a trained model.

Constant, Wigner and autoregressive predictors and the statistics of each set, on its test split; the standard
deviation over all splits is under the task ``<set>/all``. Parameters: ``orders`` (of the
autoregressions), ``sets``, ``seed`` and ``evaluation`` (specseq.spacings.evaluation.EvaluationSpec).
"""

from pathlib import Path

from specseq.errors import InputError
from specseq.spacings.evaluation import EvaluationSpec
from specseq.spacings.references import evaluate_references, spread
from specseq.spacings.sets import SETS, load_spacing_set
from specseq.stages import arguments
from specseq.tables import Provenance, long_table, write_parquet

KEYS = {"orders", "sets", "seed", "evaluation"}


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--spacings", type=Path, required=True, help="manifest of the spacing sets")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    options = parser.parse_args()
    params = options.params
    if unknown := set(params) - KEYS:
        raise InputError("references", f"unknown parameters {sorted(unknown)}", f"known are {sorted(KEYS)}")
    seed = int(params.get("seed", 0))
    spec = EvaluationSpec.from_params(params.get("evaluation", {}))
    provenance = Provenance("references", params, seed=seed)
    rows = []
    for name in params.get("sets", SETS):
        train, test = (load_spacing_set(options.spacings, name, split) for split in ("train", "test"))
        common = {
            "study": "zeta",
            "seed": seed,
            "benchmark": "rollout",
            "task": f"{name}/test",
            "context": -1,
        }
        found = evaluate_references(train, test, params.get("orders", [1, 3, 32, 64, 127, 255]), spec, seed)
        rows += [{**common, **row} for row in found]
        rows.append({**common, "task": f"{name}/all", **spread(options.spacings, name)})
    table = long_table(rows, keys=("context",))
    write_parquet(options.out, table, provenance)


if __name__ == "__main__":
    arguments.run(main)
