"""Download GIFT-Eval data sets from the hub, checked and resumable; 'download.json' is written last.

``--params`` keys: ``datasets`` (names or patterns such as ``ett1``, ``ett1/H``, ``m4_*``; all by default),
``revision``.
"""

from pathlib import Path

from specseq.series.hub import GIFT_EVAL, HubRepository, choose, data_set_folders, download
from specseq.stages import arguments


def main() -> None:
    parser = arguments.parser(__doc__ or "")
    parser.add_argument("--out", type=Path, required=True, help="folder to download to")
    options = parser.parse_args()
    arguments.check_keys(options.params, {"datasets", "revision"})
    repository = HubRepository(GIFT_EVAL, options.params.get("revision", "main"))
    folders = data_set_folders(repository.files())
    chosen = choose(list(folders), options.params.get("datasets", list(folders)), GIFT_EVAL)
    record = download(repository, [file for name in chosen for file in folders[name]], options.out)
    print(f"{len(chosen)} data sets, {record['bytes'] / 1e6:.1f} MB in {options.out}")


if __name__ == "__main__":
    arguments.run(main)
