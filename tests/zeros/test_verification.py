"""Zeros that are lost, displaced or renumbered in a table or file are found; whole ones are not refused."""

import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.errors import InputError
from specseq.tables import Provenance
from specseq.zeros import catalogue
from specseq.zeros.catalogue import compute, read_zeros, write_converted, write_zeros
from specseq.zeros.config import ZeroRange
from specseq.zeros.platt import read_platt
from specseq.zeros.selection import Zeros
from tests.zeros.checked import verify

LOW = compute(ZeroRange(index=1, count=2001))
HIGH = compute(ZeroRange(index=1_000_001, count=9000))


def platt_file(path: Path, gamma: np.ndarray, t0: float, t1: float, before: int, blocks: int = 1) -> Path:
    """Heights in Platt's format; the header's counts are those of the heights given."""
    content, start = struct.pack("<Q", blocks), t0
    for number, part in enumerate(np.array_split(gamma, blocks)):
        end = t1 if number == blocks - 1 else float(np.floor(part[-1] * 1024 + 1) / 1024)
        content += struct.pack("<ddQQ", start, end, before, before + len(part))
        sums = [int((float(x) - start) * 2**101) for x in part]
        for last, now in zip([0, *sums], sums, strict=False):
            content += (now - last).to_bytes(13, "little")
        start, before = end, before + len(part)
    path.write_bytes(content)
    return path


def middle(index: int) -> float:
    """A height between two neighbouring zeros."""
    return float(LOW.gamma[index - 1] + LOW.gamma[index]) / 2


@pytest.mark.parametrize(
    ("gamma", "ends", "before", "fault"),
    [
        (np.linspace(14.2, 399, 200), (14.0, 400.0), 0, "index 1 lies at 14.2"),
        (np.delete(LOW.gamma[:200], 99), (14.0, middle(200)), 0, "index 100 lies at 237.7"),
        (
            np.delete(LOW.gamma[999:2000], [998, 999]),
            (1419.0, middle(2000)),
            999,
            "index 1998 lies at 2515.28",
        ),
        (LOW.gamma[999:1040], (1419.0, middle(1040)), 1000, "missing or displaced"),
    ],
    ids=["no zeros", "one lost below 168π", "two lost at the end", "renumbered"],
)
def test_faulty_platt_files_are_not_called_complete(
    gamma: np.ndarray, ends: tuple[float, float], before: int, fault: str, tmp_path: Path
) -> None:
    source = platt_file(tmp_path / "z.dat", gamma, *ends, before)
    with pytest.raises(InputError, match=fault):
        write_converted(tmp_path / "z.parquet", read_platt(source), Provenance("zeros"))
    assert not (tmp_path / "z.parquet").exists()


def test_beyond_the_computed_heights_the_last_zeros_are_not_called_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "HIGHEST", 1500.0)
    record = write_converted(tmp_path / "z.parquet", [LOW[1000:2000]], Provenance("zeros"))
    assert record["complete"] is False
    assert record["complete_to"] == 2000 - 64


@settings(max_examples=30, deadline=None)
@given(first=st.integers(0, 1500), count=st.integers(1, 500), blocks=st.integers(1, 5))
def test_whole_platt_files_are_read_as_they_are(
    first: int, count: int, blocks: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    zeros = LOW[first : first + max(count, blocks)]
    start = float(np.floor(zeros.gamma[0] * 8) / 8)
    path = platt_file(
        tmp_path_factory.mktemp("platt") / "z.dat", zeros.gamma, start, zeros.gamma[-1] + 0.01, first, blocks
    )
    read = Zeros.join(list(read_platt(path)))
    assert np.array_equal(read.n, zeros.n)
    assert np.abs(read.gamma - zeros.gamma).max() < 1e-11
    verify(read)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 3000), flip=st.integers(0, 2**16), where=st.floats(0, 1))
def test_damaged_platt_files_end_in_one_line(
    cut: int, flip: int, where: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = platt_file(tmp_path_factory.mktemp("platt") / "z.dat", LOW.gamma[:200], 14.0, 397.0, 0, 3)
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= flip & 255
    path.write_bytes(bytes(content[: max(0, len(content) - cut)]))
    message = ""
    try:
        assert all(np.isfinite(part.gamma).all() for part in read_platt(path))
    except InputError as error:
        message = str(error)
    assert not message or (str(path) in message and "\n" not in message)


@settings(max_examples=80, deadline=None)
@given(first=st.integers(0, 900), extra=st.integers(-3, 40), windows=st.integers(0, 8))
def test_what_is_whole_is_verified_whatever_its_length(first: int, extra: int, windows: int) -> None:
    verify(HIGH[first : first + max(1, windows * 1000 + extra)], window=1000)
    verify(LOW[first : first + max(1, windows * 100 + extra)], window=100)


@settings(max_examples=60, deadline=None)
@given(lost=st.integers(40, 8900), pair=st.booleans())
def test_what_is_lost_is_missed(lost: int, pair: bool) -> None:
    kept = np.delete(np.arange(9000), [lost, lost + 1] if pair else [lost])
    with pytest.raises(InputError, match="missing or displaced"):
        verify(Zeros(HIGH.n[: len(kept)], HIGH.t0[kept], HIGH.delta[kept]), window=2048)


def test_tables_with_short_remainders_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "z.parquet"
    for count in (1, 2, 3, 5, 17, 4097, 4099, 8194, 8195, 8196):
        write_zeros(path, ZeroRange(index=1_000_017, count=count), Provenance("zeros"))
        assert sum(map(len, read_zeros(path, batch=4096))) == count


@pytest.mark.parametrize("place", [20, 700, 1999])
@pytest.mark.parametrize("shift", [-1e-3, -1e-7, 0.0, 1e-7, 1e-3])
def test_zeros_next_to_a_requested_height_are_in_their_place(place: int, shift: float) -> None:
    for zeros in (LOW, HIGH):
        gamma = float(zeros.gamma[place])
        first = compute(ZeroRange(height=gamma + shift, count=2)).n[0]
        assert first == zeros.n[place] + (shift > 0)
        last = compute(ZeroRange(height=gamma - 40, to=gamma + shift)).n[-1]
        assert last == zeros.n[place] - (shift <= 0)


def test_damaged_tables_end_in_one_line(tmp_path: Path) -> None:
    columns = {"n": LOW.n, "t0": LOW.t0, "delta": LOW.delta}
    texts = {**columns, "delta": [str(x) for x in LOW.delta]}
    holes = {**columns, "delta": pa.array([None, *LOW.delta[1:]], pa.float64())}
    infinite = {**columns, "delta": np.where(LOW.n == 900, np.inf, LOW.delta)}
    for name, faulty, fault in [
        ("no.parquet", {"n": LOW.n}, "column t0 is missing"),
        ("texts.parquet", texts, "column delta is string"),
        ("holes.parquet", holes, "missing values"),
        ("infinite.parquet", infinite, "index 900 is not finite"),
        ("empty.parquet", {name: values[:0] for name, values in columns.items()}, "there are none"),
    ]:
        pq.write_table(pa.table(faulty), tmp_path / name)
        with pytest.raises(InputError, match=f"{name}: .*{fault}"):
            list(read_zeros(tmp_path / name))
    with pytest.raises(InputError, match="not a readable"):
        list(read_zeros(tmp_path))
    path = tmp_path / "cut.parquet"
    path.write_bytes((tmp_path / "no.parquet").read_bytes()[:-20])
    with pytest.raises(InputError, match="not a readable"):
        list(read_zeros(path))
