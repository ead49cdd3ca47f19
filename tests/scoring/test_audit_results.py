"""The audit finds what was planted, and nothing in a clean field."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from specseq import cli
from specseq.scoring.audit_results import audit
from specseq.scoring.submissions import FEV, GIFT_EVAL, read_folder
from tests.scoring import published_results as made


def found(folder: Path) -> set[tuple[str, str, int, str]]:
    return {(f.model, f.kind, f.tasks, f.against) for f in audit(read_folder(folder, GIFT_EVAL), GIFT_EVAL)}


@pytest.fixture
def field(tmp_path: Path) -> Path:
    return made.gift_eval_folder(tmp_path)


def test_a_clean_field_has_no_findings(field: Path) -> None:
    assert found(field) == set()


def test_one_result_alone_has_nothing_to_be_equal_to(tmp_path: Path) -> None:
    made.gift_eval_frame(5).to_csv(tmp_path / "alone.csv", index=False)
    assert found(tmp_path) == set()


def test_partial_and_repeated_rows(field: Path) -> None:
    made.gift_eval_frame(5).iloc[:9].to_csv(field / "short.csv", index=False)
    frame = made.gift_eval_frame(6)
    pd.concat([frame, frame.iloc[:1]]).to_csv(field / "twice.csv", index=False)
    assert found(field) == {("short", "partial", 3, ""), ("twice", "partial", 1, "")}


def test_copy_of_a_reference_and_overlap_with_a_model(field: Path) -> None:
    (made.gift_eval_frame(1, 1.1)).to_csv(field / "a_copy.csv", index=False)
    half = made.gift_eval_frame(7)
    half.iloc[:6] = made.gift_eval_frame(4, 0.9).iloc[:6]
    half.to_csv(field / "z_half.csv", index=False)
    assert found(field) == {("a_copy", "copy", 12, "naive"), ("z_half", "overlap", 6, "plain")}


def test_float32_rounding_does_not_hide_a_copy(field: Path) -> None:
    frame = made.gift_eval_frame(4, 0.9)
    numbers = frame.select_dtypes("float").columns
    frame[numbers] = frame[numbers].astype(np.float32).astype(float)
    frame.to_csv(field / "recomputed.csv", index=False)
    assert ("recomputed", "copy", 12, "plain") in found(field)


def test_chance_equality_of_coarse_numbers_is_no_copy(field: Path) -> None:
    frame = made.gift_eval_frame(8, digits=3)
    frame["eval_metrics/MASE[0.5]"] = made.gift_eval_frame(4, 0.9)["eval_metrics/MASE[0.5]"]
    frame.to_csv(field / "one_metric.csv", index=False)
    assert not [finding for finding in found(field) if finding[1] in ("copy", "overlap")]


def test_scored_on_fewer_series(field: Path) -> None:
    frame = made.gift_eval_frame(9)
    frame.loc[:4, ["eval_metrics/ND[0.5]", "eval_metrics/NRMSE[mean]"]] *= 0.6
    frame.to_csv(field / "subset.csv", index=False)
    assert found(field) == {("subset", "other data", 5, "")}


def test_a_task_that_few_have_does_not_hide_the_others(field: Path) -> None:
    for path in field.glob("*.csv"):
        if path.stem not in ("seasonal_naive", "naive"):
            frame = pd.read_csv(path)
            frame[frame["dataset"] != made.TASKS[0]].to_csv(path, index=False)
    frame = made.gift_eval_frame(9).iloc[1:]
    frame.iloc[:4, [frame.columns.get_loc(f"eval_metrics/{n}") for n in ("ND[0.5]", "NRMSE[mean]")]] *= 0.6
    frame.to_csv(field / "subset.csv", index=False)
    assert ("subset", "other data", 4, "") in found(field)


def test_metrics_that_do_not_belong_together(field: Path) -> None:
    frame = made.gift_eval_frame(9)
    frame.loc[:2, "eval_metrics/ND[0.5]"] *= 3
    frame.loc[5, "eval_metrics/MSIS"] = np.nan
    frame.to_csv(field / "mixed.csv", index=False)
    assert found(field) == {("mixed", "inconsistent", 3, ""), ("mixed", "invalid", 1, "")}


METRICS = [name for name in made.gift_eval_frame(0) if name.startswith("eval_metrics/")]


def rows_of(folder: Path, name: str) -> list[tuple[str, int, str, str]]:
    findings = audit(read_folder(folder, GIFT_EVAL), GIFT_EVAL)
    return [(f.kind, f.tasks, f.against, f.sure) for f in findings if f.model == name]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame.round(3),
        lambda frame: frame * 0.97,
        lambda frame: frame * np.random.default_rng(0).uniform(0.9995, 1.0005, frame.shape),
        lambda frame: (frame * 1.02).round(4),
    ],
    ids=["rounded", "scaled", "noisy", "scaled and rounded"],
)
def test_near_copies(field: Path, spoil) -> None:
    frame = made.gift_eval_frame(4, 0.9)
    frame[METRICS] = spoil(frame[METRICS])
    frame.to_csv(field / "z_near.csv", index=False)
    assert rows_of(field, "z_near") == [("near copy", 12, "plain", "likely")]


def test_a_mosaic_is_put_together_from_several_models_and_a_choice_by_task_is_none(field: Path) -> None:
    sources = [made.gift_eval_frame(seed, level) for seed, level in ((2, 0.8), (3, 0.7), (4, 0.9))]
    frame = sources[0].copy()
    frame[METRICS] = np.min([source[METRICS] for source in sources], axis=0)
    frame.to_csv(field / "best_of_all.csv", index=False)
    chosen = pd.concat(
        [source.iloc[part] for source, part in zip(sources, np.split(np.arange(12), 3), strict=True)]
    )
    chosen.to_csv(field / "router.csv", index=False)
    kinds = {finding[0]: finding for finding in rows_of(field, "best_of_all")}
    assert kinds["mosaic"][1] >= 6
    assert kinds["mosaic"][3] == "certain"
    assert "mosaic" not in {finding[0] for finding in rows_of(field, "router")}


def test_a_row_far_ahead_of_the_field_is_an_outlier(tmp_path: Path) -> None:
    for seed in range(12):
        level = 0.7 if seed == 7 else 0.8 + 0.01 * seed
        frame = made.gift_eval_frame(0, level)
        noise = np.random.default_rng(seed).uniform(0.95, 1.05, (12, 1))
        frame[METRICS] = frame[METRICS] * noise
        if seed == 7:
            frame.loc[3, METRICS] *= 0.5
        frame.to_csv(tmp_path / f"{'seasonal_naive' if seed == 0 else f'model_{seed}'}.csv", index=False)
    findings = audit(read_folder(tmp_path, GIFT_EVAL), GIFT_EVAL)
    outliers = {(f.model, f.tasks, f.sure) for f in findings if f.kind == "outlier"}
    assert outliers == {("model_7", 1, "possible")}


def test_the_leaderboard_marks_what_is_found(field: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.gift_eval_frame(1, 1.1).to_csv(field / "a_copy.csv", index=False)
    assert cli.main(["leaderboard", "gift_eval", "--results", str(field)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["model"].endswith("flags")
    assert lines["a_copy"].endswith("copy")
    assert not lines["plain"].endswith("copy")


def test_fev_windows_and_partial(tmp_path: Path) -> None:
    folder = made.fev_folder(tmp_path)
    odd = made.fev_frame("Odd", 7)
    odd.loc[:1, "num_windows"] = 1
    odd.to_csv(folder / "odd.csv", index=False)
    findings = {(f.model, f.kind, f.tasks) for f in audit(read_folder(folder, FEV), FEV)}
    assert findings == {("Odd", "other data", 2), ("Partial", "partial", 3)}


def test_command(field: Path, capsys: pytest.CaptureFixture) -> None:
    (made.gift_eval_frame(1, 1.1)).to_csv(field / "a_copy.csv", index=False)
    assert cli.main(["audit-results", str(field)]) == 0
    assert "a_copy" in capsys.readouterr().out
    assert cli.main(["audit-results", str(field), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["against"] == "naive"
    assert cli.main(["audit-results", str(field / "nowhere")]) == 2


@pytest.mark.data
def test_the_three_kinds_in_the_published_files() -> None:
    findings = found(made.published("gift_eval"))
    assert ("VISIT-1.0", "copy", 97, "naive") in findings
    assert ("ZooCast-Top1", "copy", 94, "chronos-2") in findings
    turk = {finding[1:3] for finding in findings if finding[0].startswith("TurkForecast")}
    assert ("other data", 51) in turk
    assert ("DeOSAlphaTimeGPTPredictor-2025", "mosaic", 43, "TimesFM-2.5") in findings
    assert ("Falcon-2.0", "outlier", 1, "") in findings
    assert [kind for _, kind, *_ in findings if kind in ("mosaic", "near copy")] == ["mosaic"]
    others = {"EXAONE-Forecast-Agent", "timesfm_2_0_500m", "Lingjiang", "RAES-Conductance-Ensemble-V"}
    others |= {"STRIDE (+Chronos-2)", "Falcon-2.0"}
    assert {model for model, kind, *_ in findings if kind == "outlier"} == others
