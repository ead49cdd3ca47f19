"""Download FEV-Bench data sets from the hub, checked and resumable; 'download.json' is written last.

``--params`` keys: ``datasets`` (names or patterns of dataset configs such as ``ETT_1H``; all by default),
``revision``.
"""

from pathlib import Path

from specseq.series.hub import FEV, HubRepository, choose, download
from specseq.stages import arguments


def main() -> None:
    parser = arguments.parser(__doc__ or "")
    parser.add_argument("--out", type=Path, required=True, help="folder to download to")
    options = parser.parse_args()
    arguments.check_keys(options.params, {"datasets", "revision"})
    repository = HubRepository(FEV, options.params.get("revision", "main"))
    files = [file for file in repository.files() if file.path.endswith(".parquet")]
    names = sorted({file.path.split("/")[0] for file in files})
    chosen = set(choose(names, options.params.get("datasets", names), FEV))
    wanted = [file for file in files if file.path.split("/")[0] in chosen]
    record = download(repository, wanted, options.out)
    print(f"{len(chosen)} data sets, {record['bytes'] / 1e6:.1f} MB in {options.out}")


if __name__ == "__main__":
    arguments.run(main)
