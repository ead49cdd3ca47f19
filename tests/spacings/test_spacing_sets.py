"""Spacing sets: bands apart, controls with the statistics they should have, faults named."""

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specseq.errors import InputError
from specseq.settings import read
from specseq.spacings.config import SpacingSplits
from specseq.spacings.gue import gue_segment, poisson_segment, segment_length, wigner_density
from specseq.spacings.preparation import write_spacing_sets
from specseq.spacings.sets import load_spacing_set
from specseq.tables import Provenance, read_parquet
from specseq.zeros.catalogue import read_zeros
from specseq.zeros.selection import spacings


def test_bands_are_the_zeros_spacings_and_do_not_touch(manifest: Path, zeros_table: Path) -> None:
    (zeros,) = read_zeros(zeros_table)
    true = spacings(zeros)
    table = read_parquet(manifest).query("set == 'real'")
    ends = []
    for split in ("train", "selection", "test"):
        row = table[table.split == split].iloc[0]
        start = int(row.first_index - zeros.n[0])
        found = load_spacing_set(manifest, "real", split)
        assert np.array_equal(found.spacings, true[start : start + len(found)].astype(np.float32))
        at = np.array([0, 300, len(found)])
        assert np.allclose(found.height(at), zeros.gamma[start + at], atol=2.0)
        assert found.height(at)[[0, 2]] == pytest.approx([row.low, row.high])
        ends.append((start, start + len(found)))
    for (_, stop), (start, _) in pairwise(ends):
        assert start - stop == 500
    assert ends[-1][1] <= len(true)


def test_shuffled_keeps_the_marginal_and_loses_the_order(manifest: Path) -> None:
    for split in ("train", "test"):
        real, shuffled = (load_spacing_set(manifest, name, split).spacings for name in ("real", "shuffled"))
        assert np.array_equal(np.sort(real), np.sort(shuffled))
        assert not np.array_equal(real, shuffled)
    table = read_parquet(manifest).set_index(["set", "split"])
    assert abs(table.loc[("shuffled", "train"), "acf1"]) < 0.03
    assert table.loc[("real", "train"), "acf1"] == pytest.approx(-0.339, abs=0.02)


def test_batches_of_the_table_make_no_difference(
    manifest: Path, zeros_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from specseq.spacings import preparation as spacing_preparation

    monkeypatch.setattr(spacing_preparation, "read_zeros", lambda path: read_zeros(path, batch=777))
    plan = SpacingSplits(shares=(0.5, 0.1, 0.4), gap=500, controls=100, matrix_size=50, seed=3)
    write_spacing_sets(zeros_table, tmp_path, plan, Provenance("spacings"))
    for split in ("train", "test"):
        one = load_spacing_set(manifest, "real", split)
        other = load_spacing_set(tmp_path / "manifest.parquet", "real", split)
        assert np.array_equal(one.spacings, other.spacings)
        assert np.array_equal(one.heights, other.heights)


def test_gue_spacings_have_the_ensembles_variance_and_correlation() -> None:
    rng = np.random.default_rng(0)
    s = np.stack([gue_segment(400, rng) for _ in range(60)])
    assert s.shape == (60, segment_length(400))
    assert s.mean() == pytest.approx(1, abs=2e-3)
    assert s.var() == pytest.approx(0.17997, abs=0.006)
    centred = s - s.mean()
    assert (centred[:, 1:] * centred[:, :-1]).mean() / s.var() == pytest.approx(-0.31, abs=0.02)


def test_poisson_spacings_are_exponential() -> None:
    s = poisson_segment(50_000, np.random.default_rng(0))
    assert (s.mean(), s.std()) == (pytest.approx(1, abs=0.02), pytest.approx(1, abs=0.02))


def test_wigner_density_is_one_of_mean_one() -> None:
    s = np.linspace(-1, 12, 130_001)
    density = wigner_density(s)
    assert np.trapezoid(density, s) == pytest.approx(1, abs=1e-9)
    assert np.trapezoid(density * s, s) == pytest.approx(1, abs=1e-9)
    assert density[s <= 0].max() == 0


def test_windows_stay_inside_segments(manifest: Path) -> None:
    gue = load_spacing_set(manifest, "gue", "train")
    starts = gue.starts(150)
    assert np.all(starts // gue.segment == (starts + 149) // gue.segment)
    assert len(set(starts // gue.segment)) == len(gue) // gue.segment
    few = gue.starts(150, 5)
    assert len(few) == 5
    assert set(few) <= set(starts)
    assert gue.windows(few, 150).shape == (5, 150)
    with pytest.raises(InputError, match="no window"):
        gue.starts(gue.segment + 1)


def test_faulty_folders_are_named(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no set gue/validation"):
        load_spacing_set(manifest, "gue", "validation")
    copy = tmp_path / "sets"
    shutil.copytree(manifest.parent, copy)
    np.save(copy / "real_test.npy", np.zeros(3, dtype=np.float32))
    with pytest.raises(InputError, match=r"real_test\.npy: shape"):
        load_spacing_set(copy / "manifest.parquet", "real", "test")
    (copy / "real_train.npy").write_bytes(b"")
    with pytest.raises(InputError, match=r"real_train\.npy: can't be read"):
        load_spacing_set(copy / "manifest.parquet", "real", "train")


def test_an_incomplete_table_of_zeros_is_refused(zeros_table: Path, tmp_path: Path) -> None:
    table = pq.read_table(zeros_table)
    kept = np.delete(np.arange(len(table)), 9000)
    n = pa.array(np.arange(len(kept)) + table["n"][0].as_py())
    broken = table.take(kept).set_column(0, "n", n)
    path = tmp_path / "broken.parquet"
    pq.write_table(broken, path)
    with pytest.raises(InputError, match=r"broken.parquet: .*mean of S"):
        write_spacing_sets(path, tmp_path / "sets", SpacingSplits(gap=500), Provenance("spacings"))


@pytest.mark.parametrize(
    "faulty", [{"shares": (0.9, 0.2, 0.1)}, {"shares": (1.0,)}, {"gap": 0}, {"matrix_size": 3}]
)
def test_bad_plans_are_refused(faulty: dict[str, object]) -> None:
    with pytest.raises(InputError):
        read(SpacingSplits, faulty, "spacings")


def test_too_few_zeros_are_refused() -> None:
    with pytest.raises(InputError, match="use more zeros"):
        SpacingSplits().cut(8300)
