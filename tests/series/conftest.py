"""Small data set folders for the tests of this room."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from specseq.series.arrow_writer import Item, write_folder

MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """``make_folder(name, [array, ...], freq=, shards=)`` writes a data set below ``tmp_path / "corpus"``."""

    def make(
        name: str, targets: Sequence[NDArray[Any]], freq: str | Sequence[str] = "H", shards: int = 1
    ) -> Path:
        freqs = [freq] * len(targets) if isinstance(freq, str) else freq
        items = [
            Item(f"item{number}", np.datetime64("2020-01-01T00:00:00"), alias, np.asarray(target))
            for number, (target, alias) in enumerate(zip(targets, freqs, strict=True))
        ]
        folder = tmp_path / "corpus" / name
        write_folder(folder, items, shards=shards, licence="CC0", source="tests")
        return folder

    return make
