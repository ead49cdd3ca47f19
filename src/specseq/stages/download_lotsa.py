"""Download LOTSA sub-datasets from the hub, checked and resumable; 'download.json' is written last.

``--params`` keys: ``preset`` (mini, practical, full), ``datasets`` (names or patterns), ``revision``.
"""

from pathlib import Path

from specseq.series.hub import LOTSA, HubRepository, data_set_folders, download
from specseq.series.presets import lotsa_sub_datasets
from specseq.stages import arguments


def main() -> None:
    parser = arguments.parser(__doc__ or "")
    parser.add_argument("--out", type=Path, required=True, help="folder to download to")
    options = parser.parse_args()
    arguments.check_keys(options.params, {"preset", "datasets", "revision"})
    repository = HubRepository(LOTSA, options.params.get("revision", "main"))
    folders = data_set_folders(repository.files())
    names = options.params.get("datasets", [])
    preset = options.params.get("preset", None if names else "mini")
    chosen = lotsa_sub_datasets(list(folders), preset, names)
    record = download(repository, [file for name in chosen for file in folders[name]], options.out)
    print(f"{len(chosen)} sub-datasets, {record['bytes'] / 1e6:.1f} MB in {options.out}")


if __name__ == "__main__":
    arguments.run(main)
