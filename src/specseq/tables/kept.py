"""What a long stage has done so far, kept beside its result so that a killed job can resume there."""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specseq.tables.files import atomic_path, write_text
from specseq.tables.provenance import digest

Row = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


class Kept:
    """Parts of one result in a folder; without a folder nothing is kept.

    Args:
        folder: for the parts of this result alone.
        parameters: all that decides the numbers, code and input files included; parts that were made with
            others are not used.
    """

    def __init__(self, folder: Path | None = None, parameters: Mapping[str, Any] | None = None) -> None:
        self.folder, self.of = folder, digest(dict(parameters or {}))

    def rows(self, name: str, make: Callable[[], Iterable[Row]]) -> list[Row]:
        """The rows of a part: read if they were kept, else made and kept."""
        rows = self.read(name)
        if rows is None:
            rows = list(make())
            self.keep(name, rows)
        return rows

    def read(self, name: str) -> list[Row] | None:
        """The rows that were kept of a part, if any."""
        try:
            content = json.loads((self._path(name, "json") or Path()).read_text(encoding="utf-8"))
            return list(content["rows"]) if content["of"] == self.of else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, name: str, rows: list[Row]) -> None:
        """Keep the rows of a part, in place of those it had."""
        if path := self._path(name, "json"):
            write_text(path, json.dumps({"of": self.of, "rows": rows}, default=lambda value: value.item()))

    def arrays(self, name: str, make: Callable[[], Mapping[str, ArrayLike]]) -> Arrays:
        """The arrays of a part by name, in C order: read if they were kept, else made and kept."""
        arrays = self.state(name)
        if arrays is None:
            arrays = {key: np.asarray(value, order="C") for key, value in make().items()}
            self.leave(name, **arrays)
        return arrays

    def numbers(self, name: str, make: Callable[[], Mapping[str, float]]) -> dict[str, float]:
        """The numbers of a part by name: read if they were kept, else made and kept."""
        return {key: value.item() for key, value in self.arrays(name, make).items()}

    def state(self, name: str) -> Arrays | None:
        """The state in which a part was left, if any."""
        path = self._path(name, "npz")
        try:
            with np.load(path or "", allow_pickle=False) as content:
                held = {key: content[key] for key in content.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None
        return held if str(held.pop("of", "")) == self.of else None

    def leave(self, name: str, **state: Any) -> None:
        """Keep the state, arrays by name, of a part that is not finished."""
        if path := self._path(name, "npz"):
            with atomic_path(path) as part, part.open("wb") as handle:
                np.savez(handle, allow_pickle=False, of=np.array(self.of), **state)

    def forget(self) -> None:
        """Delete all parts: the result holds them."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str, kind: str) -> Path | None:
        return self.folder / f"{name}.{kind}" if self.folder else None


NOTHING_KEPT = Kept()
