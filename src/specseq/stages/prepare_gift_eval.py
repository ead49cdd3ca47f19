"""Prepare the evaluation sets: the embedded held-out sets, or a folder in GIFT-Eval's layout as it is.

``--params`` keys: ``seed`` and ``embedded``, the same as for ``prepare_lotsa``. Embedded sets are written to
``OUT/sets``; in both cases ``OUT/manifest.json`` names the folder and describes what is in it.
"""

from pathlib import Path

from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_evaluation
from specseq.series.evaluation import evaluation_manifest
from specseq.settings import read
from specseq.stages import arguments

EMBEDDED = "embedded"
KEYS = {"seed", "embedded"}


def main() -> None:
    parser = arguments.parser(__doc__ or "")
    parser.add_argument("--source", default=EMBEDDED, help="'embedded', or a folder in GIFT-Eval's layout")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the manifest and the embedded sets"
    )
    options = parser.parse_args()
    arguments.check_keys(options.params, KEYS)
    source = Path(options.source)
    if options.source == EMBEDDED:
        source = options.out / "sets"
        sizes = read(EmbeddedSizes, options.params.get("embedded", {}), "data.embedded")
        write_evaluation(source, embedded_sets(options.params.get("seed", 0), sizes))
    manifest = evaluation_manifest(source, options.out / "manifest.json")
    print(f"{len(manifest['datasets'])} evaluation sets")


if __name__ == "__main__":
    arguments.run(main)
