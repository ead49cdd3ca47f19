"""Stage ``references``: the rows every zeta table carries, without a trained model.

Constant, Wigner and autoregressive predictors and the statistics of each set, on its test split; the standard
deviation over all splits is under the task ``<set>/all``. Parameters:
specseq.spacings.config.SpacingReferences.
"""

from pathlib import Path

from specseq.settings import read
from specseq.spacings.config import SpacingReferences
from specseq.spacings.references import evaluate_references, spread
from specseq.spacings.sets import load_spacing_set
from specseq.stages import arguments
from specseq.tables import Provenance, long_table, write_parquet


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--spacings", type=Path, required=True, help="manifest of the spacing sets")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    options = parser.parse_args()
    references = read(SpacingReferences, options.params, "data.references")
    seed = references.seed
    provenance = Provenance("references", options.params, seed=seed)
    rows = []
    for name in references.sets:
        train, test = (load_spacing_set(options.spacings, name, split) for split in ("train", "test"))
        common = {
            "study": "zeta",
            "seed": seed,
            "benchmark": "rollout",
            "task": f"{name}/test",
            "context": -1,
        }
        found = evaluate_references(train, test, references.orders, references.evaluation, seed)
        rows += [{**common, **row} for row in found]
        rows.append({**common, "task": f"{name}/all", **spread(options.spacings, name)})
    table = long_table(rows, keys=("context",))
    write_parquet(options.out, table, provenance)


if __name__ == "__main__":
    arguments.run(main)
