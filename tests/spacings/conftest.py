"""A small table of zeros and the sets cut from it, made once."""

from pathlib import Path

import pytest

from specseq.spacings.config import SpacingSplits
from specseq.spacings.preparation import write_spacing_sets
from specseq.tables import Provenance
from specseq.zeros.catalogue import write_zeros
from specseq.zeros.config import ZeroRange


@pytest.fixture(scope="session")
def zeros_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zeros") / "zeros.parquet"
    write_zeros(path, ZeroRange(height=7.5e7, count=30_000), Provenance("zeros"))
    return path


@pytest.fixture(scope="session")
def manifest(zeros_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spacings")
    plan = SpacingSplits(shares=(0.5, 0.1, 0.4), gap=500, controls=4000, matrix_size=500, seed=3)
    write_spacing_sets(zeros_table, folder, plan, Provenance("spacings"))
    return folder / "manifest.parquet"
