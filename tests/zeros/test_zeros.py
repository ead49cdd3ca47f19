"""Zeros against certified ones, published ones, and Turing's method."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from specseq.cli import main as specseq
from specseq.errors import Diverged, InputError
from specseq.tables import Provenance, read_provenance
from specseq.zeros import blocks, riemann_siegel
from specseq.zeros.catalogue import compute, read_zeros, write_converted, write_zeros
from specseq.zeros.config import ZeroRange
from specseq.zeros.euler_maclaurin import z_low
from specseq.zeros.isolation import isolate
from specseq.zeros.phase import log_phase, log_table, theta_difference, theta_turns
from specseq.zeros.platt import read_platt
from specseq.zeros.selection import Zeros, spacings
from tests.zeros.checked import verify

# Ordinates from published tables (Odlyzko; LMFDB).
PUBLISHED = {
    1: 14.134725141734693,
    10**4: 9877.782654005501,
    10**5: 74920.82749899419,
    10**6: 600269.6770124450,
    2_001_052: 1132490.6587144108,
    10**7: 4992381.014003179,
    10**8: 42653549.76095155,
}


def data_folder() -> Path:
    folder = os.environ.get("SPECSEQ_DATA")
    if not folder:
        pytest.skip("SPECSEQ_DATA names no folder of real data")
    return Path(folder) / "zeta"


def z_at(t0: float, delta: np.ndarray) -> np.ndarray:
    """Z(t0 + delta) by direct summation at a few points: slow, but independent of the transform."""
    t = t0 + delta
    rest, count = riemann_siegel.remainder(t)
    high, low = log_table(int(count.max()))
    n = np.arange(1, int(count.max()) + 1)
    theta = theta_turns(t0)[1] + theta_difference(t0, delta)
    phases = theta[:, None] - log_phase(t0, high[n], low[n]) - np.outer(delta, high[n])
    terms = np.where(n <= count[:, None], np.cos(phases) / np.sqrt(n), 0.0)
    return 2 * terms.sum(axis=1) + rest


@pytest.fixture(scope="module")
def first_thousands() -> Zeros:
    return compute(ZeroRange(index=1, count=20_000))


@pytest.mark.parametrize(("index", "gamma"), PUBLISHED.items())
def test_published_ordinates(index: int, gamma: float) -> None:
    found = compute(ZeroRange(index=index, count=2))
    assert found.n.tolist() == [index, index + 1]
    assert abs(found.gamma[0] - gamma) <= 2e-12 + 2 * np.spacing(gamma)


def test_equal_to_certified_zeros() -> None:
    flint = pytest.importorskip("flint")
    precision, flint.ctx.prec = flint.ctx.prec, 140
    try:
        draws = np.random.default_rng(5).integers(1, 10**9, 2).tolist()
        for index in [*range(1, 4), 648, 649, 650, 651, 2000, 2700, 5200, 123_456, *draws, 10**9]:
            zero = compute(ZeroRange(index=index, count=1))
            certified = flint.acb.zeta_zeros(index, 1)[0].imag
            error = float((certified - flint.arb(zero.t0[0])).mid()) - zero.delta[0]
            assert abs(error) < 1e-11, index
    finally:
        flint.ctx.prec = precision


def test_first_thousands_are_contiguous_and_complete(first_thousands: Zeros) -> None:
    assert first_thousands.n.tolist() == list(range(1, 20_001))
    assert 0 < verify(first_thousands).largest_share_of_bound < 1


@pytest.mark.parametrize("request_", [ZeroRange(height=5000, to=12_000), ZeroRange(height=1e7, count=4000)])
def test_every_zero_is_one_of_the_direct_sum(request_: ZeroRange) -> None:
    """No zero of thousands is off by more than rounding: a Newton step from it goes nowhere."""
    zeros = compute(request_)
    for t0 in np.unique(zeros.t0):
        delta = zeros.delta[zeros.t0 == t0]
        here, beside = (z_at(float(t0), delta + shift) for shift in (0.0, 1e-6))
        assert np.abs(1e-6 * here / (beside - here)).max() < 1e-11


def test_near_the_highest_height() -> None:
    found = compute(ZeroRange(height=1e10, count=3000))
    assert found.gamma[0] >= 1e10
    verify(found)
    # Independent direct sums vanish at the zeros; |Z'| is of order ten here.
    values = z_at(float(found.t0[0]), found.delta[:40])
    assert np.abs(values).max() < 1e-8


@pytest.mark.parametrize("height", [1.2e3, 5e5, 8e7, 4e9])
def test_transform_equals_direct_sum(height: float) -> None:
    step = 0.1
    grid = riemann_siegel.z_on_grid(height, step, 512)
    at = np.array([0, 100, 256, 511])
    assert np.abs(grid[at] - z_at(height, (at - 256) * step)).max() < 2e-11


def test_riemann_siegel_meets_euler_maclaurin() -> None:
    t = np.linspace(1000, 1030, 60)
    assert np.abs(z_at(1000.0, t - 1000) - z_low(t)).max() < 0.017 * 1000**-2.75
    later = np.linspace(0, 5, 30)
    assert np.abs(z_at(4900.0, later) - z_low(4900 + later)).max() < 1e-11


def test_a_pair_between_two_samples_is_found() -> None:
    """A function with known zeros, two of them closer than the grid, and none where it only comes close."""
    t = np.arange(200) / 8

    def wave(shift: float) -> np.ndarray:
        return np.cos(2 * np.pi * 0.4 * (t - 12.06)) - shift

    touching, pairs = isolate(wave(1 - 1e-4))
    gap = np.diff(touching).min() / 8
    assert pairs > 0
    assert gap == pytest.approx(2 * np.arccos(1 - 1e-4) / (2 * np.pi * 0.4), rel=1e-6)
    assert isolate(wave(1 + 1e-4)) == (pytest.approx([]), 0)


def test_a_dropped_zero_is_caught(first_thousands: Zeros) -> None:
    z = first_thousands
    for lost in (900, 7_000, 19_000):
        kept = np.delete(np.arange(len(z)), lost)
        with pytest.raises(InputError, match="index jumps"):
            verify(Zeros(z.n[kept], z.t0[kept], z.delta[kept]))
        with pytest.raises(InputError, match="missing or displaced"):
            verify(Zeros(z.n[:-1], z.t0[kept], z.delta[kept]))


def test_a_shifted_block_is_caught(first_thousands: Zeros) -> None:
    z = first_thousands
    moved = z.t0 + np.where(np.arange(len(z)) >= 12_000, 0.02, 0.0)
    with pytest.raises(InputError, match="missing or displaced"):
        verify(Zeros(z.n, moved, z.delta))


def test_swapped_and_empty_tables_are_caught(first_thousands: Zeros) -> None:
    z = first_thousands
    delta = z.delta.copy()
    delta[[5000, 5001]] = delta[[5001, 5000]]
    with pytest.raises(InputError, match="do not ascend at index 5001"):
        verify(Zeros(z.n, z.t0, delta))
    with pytest.raises(InputError, match="there are none"):
        verify(Zeros(z.n[:0], z.t0[:0], z.delta[:0]))


def test_a_block_that_loses_zeros_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stretch = next(blocks.plan(1e5))

    def forgetful(samples: np.ndarray) -> tuple[np.ndarray, int]:
        positions, pairs = isolate(samples)
        return np.delete(positions, [1000, 1001]), pairs

    monkeypatch.setattr(blocks, "isolate", forgetful)
    with pytest.raises(Diverged, match="zeros are missing"):
        blocks.find(stretch)


def test_zeros_lost_at_a_seam_break_the_count() -> None:
    plan = blocks.plan(1e5)
    before, after = blocks.find(next(plan)), blocks.find(next(plan))
    blocks.contiguous(before, after)
    short = blocks.Block(
        before.t0, before.delta[:-2], before.first, before.mean_s, before.bound, before.pairs
    )
    with pytest.raises(Diverged, match="by Turing"):
        blocks.contiguous(short, after)


def test_standard_deviation_of_spacings() -> None:
    high = compute(ZeroRange(height=7.5e7, count=60_001))
    s = spacings(high)
    assert s.mean() == pytest.approx(1, abs=1e-4)
    assert s.std() == pytest.approx(0.41428, abs=0.003)
    centred = s - s.mean()
    assert (centred[1:] * centred[:-1]).mean() / s.var() == pytest.approx(-0.339, abs=0.01)


def test_spacings_do_not_see_the_reference_height() -> None:
    zeros = compute(ZeroRange(height=7.5e7, count=5000))
    shifted = Zeros(zeros.n, zeros.t0 - 64.0, zeros.delta + 64.0)
    assert np.abs(spacings(zeros) - spacings(shifted)).max() < 1e-12


def test_table_is_resumed_and_the_same_for_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from specseq.zeros import pieces

    monkeypatch.setattr(pieces, "BLOCKS_A_CHUNK", 3)
    request = ZeroRange(height=2e6, count=20_000)
    plain = compute(request)
    calls = 0

    def fails_late(stretch: blocks.Stretch) -> blocks.Block:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return blocks.find(stretch)

    monkeypatch.setattr(pieces, "find", fails_late)
    target = tmp_path / "zeros.parquet"
    with pytest.raises(KeyboardInterrupt):
        write_zeros(target, request, Provenance("zeros"))
    assert not target.exists()
    parts = sorted((tmp_path / "zeros.parquet.parts").glob("*.npz"))
    assert len(parts) == 2
    parts[1].write_bytes(parts[1].read_bytes()[:1000])  # a piece cut short is computed again

    calls = -1000
    record = write_zeros(target, request, Provenance("zeros"))
    done = calls + 1000
    assert done < 10 - 2
    assert record["count"] == 20_000
    assert not (tmp_path / "zeros.parquet.parts").exists()
    (table,) = read_zeros(target)
    for name in ("n", "t0", "delta"):
        assert np.array_equal(getattr(table, name), getattr(plain, name))

    monkeypatch.setattr(pieces, "find", blocks.find)
    write_zeros(tmp_path / "two.parquet", request, Provenance("zeros"), workers=2)
    (parallel,) = read_zeros(tmp_path / "two.parquet")
    assert np.array_equal(parallel.delta, plain.delta)


def test_command_records_completeness(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "zeros.parquet"
    assert (
        specseq(["zeros", "--index", "600", "--count", "1500", "--out", str(target), "--workers", "1"]) == 0
    )
    assert "1500 zeros, indices 600 to 2099, complete" in capsys.readouterr().out
    record = read_provenance(target)
    assert record["stage"] == "zeros"
    assert record["zeros"]["complete"] is True
    assert record["zeros"]["largest_share_of_bound"] < 1
    (table,) = read_zeros(target)
    assert table.n[0] == 600
    assert specseq(["zeros", "--index", "1", "--count", "9", "--out", str(tmp_path / "z.csv")]) == 2
    assert "z.csv is not a .parquet file; give a name that ends in .parquet" in capsys.readouterr().err


def test_the_lowest_zeros_are_counted_against_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turing's bound says nothing of them, and a table of them alone has no next block to join."""
    record = write_zeros(tmp_path / "low.parquet", ZeroRange(index=1, count=100), Provenance("zeros"))
    assert (record["complete"], record["blocks"]) == (True, 1)
    assert record["method"] == "649 zeros in the block below t = 1000, as is known"
    record = write_zeros(tmp_path / "both.parquet", ZeroRange(index=600, count=100), Provenance("zeros"))
    assert "649 zeros" in str(record["method"])
    assert "Turing's bound" in str(record["method"])
    record = write_zeros(tmp_path / "high.parquet", ZeroRange(index=700, count=100), Provenance("zeros"))
    assert str(record["method"]).startswith("mean of S(t)")

    def one_pair_lost(samples: np.ndarray) -> tuple[np.ndarray, int]:
        positions, pairs = isolate(samples)
        return np.delete(positions, [300, 301]), pairs

    monkeypatch.setattr(blocks, "isolate", one_pair_lost)
    with pytest.raises(Diverged, match="647 zeros found below t = 1000, where there are 649"):
        compute(ZeroRange(index=1, count=100))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--index", "0", "--count", "5"], "--index: 0 is not"),
        (["--index", "1", "--count", "0"], "--count: 0 is not"),
        (["--height", "1e12", "--count", "5"], "stay below"),
        (["--height", "nan", "--count", "5"], "not a finite number"),
        (["--height", "20", "--to", "10"], "not above"),
        (["--index", "1", "--to", "50"], "goes with a first height"),
        (["--index", "5"], "count or an upper height"),
        (["--height", "2", "--to", "9"], "none lie between"),
    ],
)
def test_bad_requests_end_in_one_line(
    given: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert specseq(["zeros", *given, "--out", str(tmp_path / "z.parquet"), "--workers", "1"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def platt_bytes(zeros: Zeros, parts: int) -> bytes:
    """The zeros in Platt's format, in ``parts`` blocks, with bytes after the last one."""
    content = struct.pack("<Q", parts)
    for rows in np.array_split(np.arange(len(zeros)), parts):
        z = zeros[slice(rows[0], rows[-1] + 1)]
        t0 = float(np.floor(z.gamma[0]))
        content += struct.pack("<ddQQ", t0, float(z.gamma[-1]) + 1, int(z.n[0]) - 1, int(z.n[-1]))
        sums = [
            round(((a - t0) + b) * 2**40) << 61 for a, b in zip(z.t0.tolist(), z.delta.tolist(), strict=True)
        ]
        for before, now in zip([0, *sums], sums, strict=False):
            content += (now - before).to_bytes(13, "little")
    return content + b"trailing"


def test_platt_files_are_read_to_the_last_block(first_thousands: Zeros, tmp_path: Path) -> None:
    source = tmp_path / "zeros.dat"
    wanted = first_thousands[1000:4000]
    source.write_bytes(platt_bytes(wanted, 3))
    found = Zeros.join(list(read_platt(source)))
    assert np.array_equal(found.n, wanted.n)
    assert np.abs(found.gamma - wanted.gamma).max() < 2e-12
    record = write_converted(tmp_path / "z.parquet", read_platt(source), Provenance("zeros"))
    assert record["count"] == 3000


def test_faulty_platt_files_name_their_block(first_thousands: Zeros, tmp_path: Path) -> None:
    whole = platt_bytes(first_thousands[:300], 3)[:-8]
    source = tmp_path / "zeros.dat"
    for content, said in [
        (whole[:-1], "ends in the zeros of block 3 of 3"),
        (whole[: 8 + 32 + 1300 + 10], "ends in the header of block 2 of 3"),
        (whole[:5], "shorter than"),
        (whole[:24] + struct.pack("<Q", 2**60) + whole[32:], "block 1 of 3 has heights"),
    ]:
        source.write_bytes(content)
        with pytest.raises(InputError, match=said):
            list(read_platt(source))
    with pytest.raises(InputError, match="no such file"):
        list(read_platt(tmp_path / "none.dat"))


@pytest.mark.data
def test_equal_to_odlyzko() -> None:
    published = np.loadtxt(data_folder() / "odlyzko_zeros1.txt")
    found = compute(ZeroRange(index=1, count=len(published)))
    assert np.abs(found.gamma - published).max() <= 3.1e-9


@pytest.mark.data
def test_equal_to_platt() -> None:
    published = Zeros.join(list(read_platt(data_folder() / "zeros_14.dat")))
    found = compute(ZeroRange(index=1, count=4520))
    assert np.array_equal(published.n, found.n)
    assert np.abs(published.gamma - found.gamma).max() < 2e-12
