"""Long stages resume: parts that were done are read, a part that was left goes on where it was."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specseq.tables.kept import NOTHING_KEPT, Kept


def rows() -> Iterator[dict[str, Any]]:
    yield {"metric": "one", "step": np.int64(3), "value": np.float32(0.1)}
    yield {"metric": "two", "value": math.nan}


def never() -> Any:
    raise AssertionError("made again")


def test_rows_are_made_once_and_come_back_to_the_bit(tmp_path: Path) -> None:
    made = Kept(tmp_path / "parts", {"seed": 0}).rows("a", rows)
    again = Kept(tmp_path / "parts", {"seed": 0}).rows("a", never)
    assert again[0] == {"metric": "one", "step": 3, "value": float(np.float32(0.1))} == made[0]
    assert math.isnan(again[1]["value"])


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"of": 1}'])
def test_rows_of_other_parameters_or_damaged_ones_are_made_again(tmp_path: Path, damage: str) -> None:
    kept = Kept(tmp_path / "parts", {"seed": 0})
    kept.rows("a", rows)
    with pytest.raises(AssertionError, match="made again"):
        Kept(tmp_path / "parts", {"seed": 1}).rows("a", never)
    (tmp_path / "parts/a.json").write_text(damage)
    assert len(kept.rows("a", rows)) == 2


def test_a_state_is_found_by_its_name_and_parameters(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "parts", {"seed": 0})
    assert kept.state("a") is None
    kept.leave("a", done=np.arange(3))
    left = kept.state("a")
    assert left is not None
    assert left.keys() == {"done"}
    assert left["done"].tolist() == [0, 1, 2]
    assert Kept(tmp_path / "parts", {"seed": 1}).state("a") is None
    (tmp_path / "parts/a.npz").write_bytes((tmp_path / "parts/a.npz").read_bytes()[:40])
    assert kept.state("a") is None
    kept.forget()
    assert not (tmp_path / "parts").exists()


def test_arrays_and_numbers_are_made_once_and_come_back_to_the_bit(tmp_path: Path) -> None:
    def arrays() -> dict[str, Any]:
        turned = np.arange(6.0).reshape(2, 3).T
        return {"turned": turned, "complex": np.array([1 - 2j]), "nan": -np.array(np.nan), "one": 3}

    made, again = (Kept(tmp_path / "parts").arrays("a", make) for make in (arrays, never))
    assert list(again) == list(made) == ["turned", "complex", "nan", "one"]
    for name, array in made.items():
        assert array.flags.c_contiguous
        assert (again[name].dtype, again[name].shape) == (array.dtype, array.shape)
        assert again[name].tobytes() == array.tobytes()
    numbers = Kept(tmp_path / "parts").numbers("b", lambda: {"x": 0.1, "n": 2})
    assert Kept(tmp_path / "parts").numbers("b", never) == numbers == {"x": 0.1, "n": 2}
    assert [type(value) for value in numbers.values()] == [float, int]
    with pytest.raises(AssertionError, match="made again"):
        Kept(tmp_path / "parts", {"seed": 1}).arrays("a", never)


def test_without_a_folder_nothing_is_kept() -> None:
    assert len(NOTHING_KEPT.rows("a", rows)) == 2
    NOTHING_KEPT.leave("a", done=np.arange(3))
    assert NOTHING_KEPT.state("a") is None
    NOTHING_KEPT.forget()
