"""Long results of many runs in one table, with the run's name without its seed."""

from pathlib import Path

import pandas as pd
import pytest

from specseq.errors import InputError
from specseq.report.tidy import group_of, make
from specseq.studies.zeta import tables as zeta
from specseq.tables import Provenance, long_table, write_parquet


def test_group_drops_the_seed_alone() -> None:
    runs = pd.Series(
        ["zeta/models/base_seed12", "zeta/baseline/seed0", "zeta/seed_study/seeded", "zeta/x/stride16"]
    )
    assert group_of(runs).tolist() == [
        "zeta/models/base",
        "zeta/baseline",
        "zeta/seed_study/seeded",
        "zeta/x/stride16",
    ]


def test_rows_of_all_files_with_progress(tmp_path: Path) -> None:
    rows = [
        {"study": "zeta", "run": "zeta/a/b_seed1", "seed": 1, "step": step, "metric": "nll", "value": 1.0}
        for step in (5, 10)
    ]
    write_parquet(tmp_path / "a.parquet", long_table(rows), Provenance("pretrain"))
    other = [{"study": "zeta", "run": "zeta/a/c_seed0", "context": 128, "metric": "err", "value": 2.0}]
    write_parquet(tmp_path / "b.parquet", long_table(other, ("context",)), Provenance("rollout"))
    stream = make({"training": [tmp_path / "a.parquet"], "rollouts": [tmp_path / "b.parquet"]}, {})
    made = stream.read_pandas()
    assert made["group"].tolist() == ["zeta/a/b", "zeta/a/b", "zeta/a/c"]
    assert made["progress"].tolist()[:2] == [0.5, 1.0]
    assert pd.isna(made["progress"].iloc[2])
    assert made["context"].iloc[2] == 128
    with pytest.raises(InputError, match="no files"):
        make({}, {})


def test_results_of_the_zeta_study_know_the_window_of_their_model(tmp_path: Path) -> None:
    rows = [{"study": "zeta", "seed": 0, "benchmark": "rollout", "metric": "nll", "value": 1.0}]
    models = {"zeta/leak/a_seed0": {"length": 4}, "zeta/models/b_seed0": {}, "zeta/references": None}
    for number, (run, model) in enumerate(models.items()):
        table = long_table([{**row, "run": run} for row in rows])
        params = {} if model is None else {"model": model}
        write_parquet(tmp_path / f"{number}.parquet", table, Provenance("rollout", params, run=run))
    made = zeta.long({"rollouts": [tmp_path / f"{number}.parquet" for number in range(3)]}, {}).read_pandas()
    assert made["length"].tolist() == [4, 256, pd.NA]
    assert made["group"].tolist() == ["zeta/leak/a", "zeta/models/b", "zeta/references"]
