"""Tables as the page shows them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from specseq.report.page.tables import cell, study_table
from specseq.report.sections import Table, load_sections
from specseq.stages.report_page import explanations
from specseq.tables import Provenance, write_parquet

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("value", "text"),
    [(641352.0, "641352"), (-1.5e7, "-15000000"), (0.123456, "0.12346"), (1e300, "1e+300"), (np.nan, ""),
     (None, ""), ([0.5, -0.25], "0.5, -0.25"), (True, "True"), ("a", "a")],
)  # fmt: skip
def test_cells_read_well(value: object, text: str) -> None:
    assert cell(value) == text


def test_no_seed_is_shown_as_none() -> None:
    assert (cell(-1, "seed"), cell(-1, "step"), cell(0, "seed")) == ("", "-1", "0")


def shown(folder: Path, **columns: list[object]) -> dict[str, object]:
    write_parquet(folder / "tables/t.parquet", pd.DataFrame(columns), Provenance("table"))
    return study_table(folder, Table("tables/t.parquet", "T", "caption"), {})


def test_what_every_row_shares_is_told_once(tmp_path: Path) -> None:
    made = shown(
        tmp_path, group=["a", "b"], benchmark=["gift_eval"] * 2, verdict=["better"] * 2, low=[None] * 2
    )
    assert made["constant"] == "benchmark GIFT-Eval"
    assert made["content"]["columns"] == ["group", "verdict", "low"]
    alone = shown(tmp_path, group=["a"], benchmark=["gift_eval"])
    assert alone["content"]["rows"] == [["a", "GIFT-Eval"]]


def test_embedded_sets_are_never_called_by_the_benchmarks_name(tmp_path: Path) -> None:
    manifest = {"datasets": {"co2": {"source": "statsmodels.datasets.co2", "licence": "public"}}}
    (tmp_path / "data/gift_eval").mkdir(parents=True)
    (tmp_path / "data/gift_eval/manifest.json").write_text(json.dumps(manifest))
    made = shown(tmp_path, group=["a", "b"], benchmark=["gift_eval"] * 2)
    assert made["constant"] == "benchmark embedded sets"


def test_every_table_of_the_page_is_explained(tmp_path: Path) -> None:
    explained = explanations()
    for section in load_sections(ROOT / "workflow/studies"):
        for spec in section.tables:
            write_parquet(tmp_path / spec.file, pd.DataFrame(), Provenance("table"))
            meaning = str(study_table(tmp_path, spec, explained)["meaning"])
            assert len(meaning) > 100, spec.file
            assert ":func:" not in meaning
            assert "Args" not in meaning
