"""The Parquet files of a data set of FEV-Bench: all that lie in its folder, none passed over."""

from pathlib import Path

from specseq.errors import InputError

_LIKE_PARQUET = (".parquet", ".parquet.gz", ".parquet.zip", ".parquet.zst", ".pq")


def parquet_files(folder: Path) -> list[Path]:
    """The files ``*.parquet`` of a data set, sorted; names that begin with a dot are caches.

    Raises:
        InputError: one is a folder or a link to nothing, or others like them would be passed over.
    """
    files = sorted(folder.glob("*.parquet"))
    if odd := [path for path in files if not path.is_file()]:
        raise InputError(odd[0], "is no file", "give the Parquet file of this name, or remove it")
    places = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path not in files]
    others = [
        place.as_posix()
        for place in places
        if place.name.lower().endswith(_LIKE_PARQUET) and not any(part[0] == "." for part in place.parts)
    ]
    if others:
        fault = f"{len(others)} of its Parquet files are not read, such as {others[0]}"
        raise InputError(folder, fault, "unpack them, and name them NAME.parquet in the folder itself")
    return files
