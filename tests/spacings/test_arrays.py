"""The study's own arrays as a source: the sets of the zeros they were made of, and faults in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from specseq.errors import InputError
from specseq.settings import read
from specseq.spacings.arrays import CHUNK, read_arrays
from specseq.spacings.config import SpacingSplits
from specseq.spacings.preparation import write_spacing_sets
from specseq.spacings.sets import load_spacing_set
from specseq.tables import Provenance, read_parquet
from specseq.zeros.catalogue import read_zeros
from specseq.zeros.selection import spacings


@pytest.fixture(scope="module")
def series(zeros_table: Path) -> tuple[int, np.ndarray]:
    (zeros,) = read_zeros(zeros_table)
    return int(zeros.n[0]), spacings(zeros).astype(np.float32)


def save(folder: Path, rows: np.ndarray, ending: str = ".npy") -> Path:
    """Nine tenths of the rows as train, the rest as val."""
    folder.mkdir()
    cut = len(rows) * 9 // 10
    for name, part in (("train", rows[:cut]), ("val", rows[cut:])):
        if ending == ".npy":
            np.save(folder / f"{name}.npy", part)
        else:
            torch.save(torch.from_numpy(part.copy()), folder / f"{name}.pt")
    return folder


@pytest.mark.parametrize("ending", [".npy", ".pt"])
@pytest.mark.parametrize("residuals", [False, True])
def test_sets_are_those_of_the_zeros(
    series: tuple[int, np.ndarray], manifest: Path, tmp_path: Path, ending: str, residuals: bool
) -> None:
    first, s = series
    rows = s[: len(s) // 256 * 256].reshape(-1, 256)
    folder = save(tmp_path / "arrays", rows - np.float32(1) if residuals else rows, ending)
    splits = SpacingSplits(
        shares=(0.5, 0.1, 0.4),
        gap=500,
        controls=4000,
        matrix_size=500,
        seed=3,
        arrays=str(folder),
        index=first,
    )
    write_spacing_sets(None, tmp_path / "sets", splits, Provenance("spacings"))
    made = tmp_path / "sets" / "manifest.parquet"
    table = read_parquet(made).query("set == 'real'").set_index("split")
    for split in ("train", "selection", "test"):
        found = load_spacing_set(made, "real", split)
        start = int(table.loc[split, "first_index"]) - first
        assert found.spacings == pytest.approx(s[start : start + len(found)], abs=2e-7)
    # From the smooth counting function, so within a spacing or two of the zeros' own (.39 each up there).
    own = load_spacing_set(manifest, "real", "train")
    places = np.array([0, 5000, 10_000])
    near = load_spacing_set(made, "real", "train").height(places)
    assert np.abs(near - own.height(places)).max() < 0.8


def test_what_is_no_series_of_spacings_is_refused(tmp_path: Path) -> None:
    good = np.random.default_rng(0).gamma(6, 1 / 6, (40, 256)).astype(np.float32)
    folder = save(tmp_path / "arrays", good)
    assert len(read_arrays(folder, 1)) == 40 * 256
    for name, content, said in [
        ("train.npy", 3 * good, "the mean of train is 3.*residuals 0"),
        ("train.npy", good - 1, "one of train and val holds spacings, the other residuals"),
        ("val.npy", np.ones((2, 3, 4), np.float32), r"val.npy: holds float32 of shape \[2, 3, 4\]"),
        ("val.npy", np.ones(4, np.int64), "val.npy: holds int64"),
    ]:
        np.save(folder / name, content)
        with pytest.raises(InputError, match=said):
            read_arrays(folder, 1)
        np.save(folder / name, good)
    (folder / "val.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"val\.npy: can't be read"):
        read_arrays(folder, 1)
    (folder / "val.npy").unlink()
    with pytest.raises(InputError, match=r"holds no val\.npy or val\.pt"):
        read_arrays(folder, 1)
    torch.save({"val": torch.ones(3)}, folder / "val.pt")
    with pytest.raises(InputError, match=r"val\.pt: holds a dict"):
        read_arrays(folder, 1)


def test_a_spacing_that_is_none_is_named(tmp_path: Path) -> None:
    s = np.random.default_rng(0).gamma(6, 1 / 6, 2000).astype(np.float32)
    s[1900] = np.nan
    np.save(tmp_path / "train.npy", np.ones(10, np.float32))
    np.save(tmp_path / "val.npy", s[:1900])
    list(read_arrays(tmp_path, 1).pieces())
    s[1900] = -0.5
    np.save(tmp_path / "val.npy", s)
    with pytest.raises(InputError, match=r"spacing 1900 of val is -0\.5"):
        list(read_arrays(tmp_path, 1).pieces())


def test_an_infinite_spacing_is_named(tmp_path: Path) -> None:
    s = np.ones(CHUNK + 9, np.float32)
    s[CHUNK + 5] = np.inf
    for name in ("train", "val"):
        np.save(tmp_path / f"{name}.npy", s)
    with pytest.raises(InputError, match=rf"spacing {CHUNK + 5} of train is inf"):
        list(read_arrays(tmp_path, 1).pieces())


def test_an_index_without_arrays_is_refused() -> None:
    with pytest.raises(InputError, match=r"spacings\.index.*no effect without arrays"):
        read(SpacingSplits, {"index": 3}, "spacings")
