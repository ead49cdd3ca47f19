"""Prepare the training corpus, embedded or in LOTSA's layout: a manifest and a memory-mapped store.

``--params`` keys: ``seed`` and ``embedded`` (sizes, see ``specseq.series.config.EmbeddedSizes``) for the
embedded data; ``min_length`` and ``exclude`` (names, patterns, or ``overlap``) for any.
"""

from pathlib import Path

from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_corpus
from specseq.series.prepare import prepare_store
from specseq.series.store import MANIFEST
from specseq.settings import read
from specseq.stages import arguments

EMBEDDED = "embedded"
KEYS = {"seed", "embedded", "min_length", "exclude"}


def main() -> None:
    parser = arguments.parser(__doc__ or "")
    parser.add_argument(
        "--source",
        default=EMBEDDED,
        help="'embedded', or a folder of save_to_disk folders, one a sub-dataset",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the store")
    options = parser.parse_args()
    params = options.params
    arguments.check_keys(options.params, KEYS)
    source = Path(options.source)
    if options.source == EMBEDDED:
        source = options.out / "corpus"
        sizes = read(EmbeddedSizes, params.get("embedded", {}), "data.embedded")
        # The corpus is about to change under a store that may have been finished before.
        (options.out / MANIFEST).unlink(missing_ok=True)
        write_corpus(source, embedded_sets(params.get("seed", 0), sizes))
    manifest = prepare_store(
        source, options.out, min_length=params.get("min_length", 16), exclude=params.get("exclude", ())
    )
    print(
        f"{manifest['series']} series of {len(manifest['datasets'])} sub-datasets, "
        f"{manifest['steps']} steps; {manifest['skipped']} series skipped"
    )
    for name, record in manifest["datasets"].items():
        if unused := record.get("unused_columns"):
            print(f"{name}: {', '.join(unused)} not used")


if __name__ == "__main__":
    arguments.run(main)
