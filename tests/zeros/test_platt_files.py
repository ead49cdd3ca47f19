"""Ranges of zeros out of a folder of Platt's files, and what is refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from specseq.errors import InputError
from specseq.settings import read
from specseq.studies.config import DataSettings
from specseq.tables import read_provenance
from specseq.zeros.catalogue import ZerosRequest, compute, make_zeros, read_zeros
from specseq.zeros.config import ZeroRange, ZeroSource
from specseq.zeros.platt import read_platt_range
from specseq.zeros.selection import Zeros
from tests.zeros.test_zeros import platt_bytes


@pytest.fixture(scope="module")
def zeros() -> Zeros:
    return compute(ZeroRange(index=1, count=6000))


@pytest.fixture
def folder(zeros: Zeros, tmp_path: Path) -> Path:
    """Files whose names do not sort as their zeros do."""
    folder = tmp_path / "platt"
    folder.mkdir()
    for name, part in (
        ("zeros_9.dat", zeros[:2000]),
        ("zeros_10.dat", zeros[2000:5000]),
        ("a.dat", zeros[5000:]),
    ):
        (folder / name).write_bytes(platt_bytes(part, 2))
    (folder / "README").write_text("no zeros")
    return folder


@pytest.mark.parametrize(
    ("index", "count"),
    [(None, None), (1, 6000), (1999, 3), (2001, 3000), (2500, 100), (4990, None), (None, 2100), (6000, 1)],
)
def test_the_zeros_asked_for_come_in_order(
    zeros: Zeros, folder: Path, index: int | None, count: int | None
) -> None:
    found = Zeros.join(list(read_platt_range(folder, index, count)))
    start = (index or 1) - 1
    due = zeros[start : None if count is None else start + count]
    assert np.array_equal(found.n, due.n)
    assert np.abs(found.gamma - due.gamma).max() < 2e-12


def test_files_beyond_the_range_are_not_opened_further(folder: Path) -> None:
    whole = (folder / "a.dat").read_bytes()
    (folder / "a.dat").write_bytes(whole[:100])
    assert sum(map(len, read_platt_range(folder, 1, 4000))) == 4000
    with pytest.raises(InputError, match=r"a\.dat: ends in the zeros of block 1"):
        list(read_platt_range(folder))


def test_zeros_that_are_not_there_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="platt: holds zeros 1 to 6000; 1 to 7000 are wanted; set index and count"
    ):
        list(read_platt_range(folder, 1, 7000))
    with pytest.raises(InputError, match=r"platt: holds no zero 186000000; .* are wanted"):
        list(read_platt_range(folder, 186_000_000, 1000))
    (folder / "zeros_10.dat").unlink()
    with pytest.raises(InputError, match=r"a\.dat: begins at zero 5001, expected 2001"):
        list(read_platt_range(folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no file \*\.dat"):
        list(read_platt_range(tmp_path / "empty"))
    (folder / "short.dat").write_bytes(b"12345678")
    with pytest.raises(InputError, match=r"short\.dat: shorter than the header"):
        list(read_platt_range(folder))


def test_a_table_from_files_is_checked_and_says_where_it_is_from(
    zeros: Zeros, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "zeros.parquet"
    source = ZeroSource(platt=str(folder), index=1001, count=4000)
    record = make_zeros(ZerosRequest(out=out, zeros=source))
    assert (record["first_index"], record["last_index"], record["complete"]) == (1001, 5000, True)
    (found,) = read_zeros(out)
    assert np.abs(found.gamma - zeros[1000:5000].gamma).max() < 2e-12
    assert read_provenance(out)["parameters"]["platt"] == "platt"
    # A file whose zeros are not those of its indices.
    (folder / "zeros_9.dat").write_bytes(
        platt_bytes(Zeros(zeros.n[:2000], zeros.t0[1:2001], zeros.delta[1:2001]), 2)
    )
    with pytest.raises(InputError, match=r"platt: .*expected .*; download the file again"):
        make_zeros(ZerosRequest(out=out, zeros=ZeroSource(platt=str(folder))))


def test_the_config_names_files_or_what_is_computed(folder: Path) -> None:
    given = {"zeros": {"platt": str(folder), "index": 1, "count": 300}}
    assert read(DataSettings, given, "data").zeros.count == 300
    assert read(DataSettings, {"zeros": {"platt": str(folder)}}, "data").zeros.index is None
    for zeros, said in [
        ({"platt": f"{folder}x"}, r"data\.zeros\.platt: there is no file or folder"),
        ({"platt": str(folder), "height": 1e5}, r"data\.zeros\.height: goes with zeros that are computed"),
        ({"count": 3}, r"data\.zeros\.index: give a first index"),
    ]:
        with pytest.raises(InputError, match=said):
            read(DataSettings, {"zeros": zeros}, "data")
