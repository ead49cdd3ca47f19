"""The preconditioning study as config.yaml declares it, at every scale."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from specseq.errors import InputError
from specseq.filters import design
from specseq.models.moirai2.batch import Preconditioner
from specseq.models.moirai2.config import Moirai2Config
from specseq.report.tidy import group_of
from specseq.settings import read
from specseq.studies.config import load_plan
from specseq.studies.preconditioning.study import PreconditioningRun
from specseq.yaml_files import read_yaml

ROOT = Path(__file__).parents[2]
PLAN = load_plan(ROOT)
SCALES = sorted(PLAN.scales)


def runs(scale: str) -> dict[str, dict[str, Any]]:
    return PLAN.study_runs(scale, "preconditioning")


def groups(scale: str) -> set[str]:
    import pandas as pd

    return set(group_of(pd.Series(list(runs(scale)))))


@pytest.mark.parametrize("scale", SCALES)
def test_every_run_is_a_model_that_can_be_made(scale: str) -> None:
    seen = set()
    for spec in runs(scale).values():
        if "training" in spec:
            part = {key: spec[key] for key in ("model", "filter", "preconditioning") if key in spec}
            if (text := json.dumps(part, sort_keys=True)) not in seen:
                seen.add(text)
                read(Moirai2Config, part["model"], "model")
                Preconditioner.of(part)
    assert seen


@pytest.mark.parametrize("scale", SCALES)
def test_runs_that_are_referred_to_exist(scale: str) -> None:
    declared = runs(scale)
    for spec in declared.values():
        for key in ("initial", "forecaster"):
            other = spec.get(key, {}).get("run")
            if other is not None:
                assert declared[other]["seed"] == spec["seed"]
                assert "training" in declared[other]
                assert declared[other]["model"] == spec.get("model", declared[other]["model"])
        assert spec.get("baseline", "preconditioning/baseline") in groups(scale)
        for name in spec.get("evaluation", {}).get("filters", ()):
            assert name in PLAN.filters


def test_a_baseline_of_its_own_has_the_runs_length() -> None:
    paper = runs("paper")
    for spec in paper.values():
        if "baseline" in spec:
            against = paper[f"{spec['baseline']}_seed{spec['seed']}"]
            assert against["training"] == spec["training"]


def test_every_run_that_the_claims_name_is_declared() -> None:
    text = (ROOT / "workflow/studies/preconditioning/claims.yaml").read_text()
    named = set(re.findall(r"group: \"?(preconditioning/[\w./]+)[,}\"\s]", text))
    assert len(named) > 5
    assert named <= groups("paper")


@pytest.mark.parametrize("scale", SCALES)
def test_the_trend_over_noise_gain_is_of_models_trained_from_scratch(scale: str) -> None:
    claims = read_yaml(ROOT / "workflow/studies/preconditioning/claims.yaml")["claims"]
    (claim,) = (claim for claim in claims if claim["id"] == "s4.near_identity")
    named = claim["quantity"]["trend"]["of"]["where"]["baseline"]
    for run, spec in runs(scale).items():
        if "training" in spec:
            against = spec.get("baseline", "preconditioning/baseline")
            assert (against in named) == ("initial" not in spec), run


def points(scale: str, sweep: str) -> list[dict[str, Any]]:
    """The runs of a sweep with the first seed."""
    found = runs(scale)
    return [spec for run, spec in found.items() if run.split("/")[1] == sweep and spec["seed"] == 0]


def steps(spec: dict[str, Any]) -> int:
    return spec["training"]["steps"]


def all_steps(declared: dict[str, dict[str, Any]], spec: dict[str, Any]) -> int:
    """Steps of a run and of the runs that its weights come from."""
    before = spec.get("initial", {}).get("run")
    return steps(spec) + (all_steps(declared, declared[before]) if before else 0)


@pytest.mark.parametrize(("scale", "least"), [("smoke", 1), ("laptop", 3), ("workstation", 3), ("paper", 5)])
def test_seeds_and_budgets_are_matched(scale: str, least: int) -> None:
    trained = {run: spec for run, spec in runs(scale).items() if "training" in spec}
    by_group: dict[str, set[int]] = {}
    for run, spec in trained.items():
        by_group.setdefault(re.sub(r"[_/]seed\d+$", "", run), set()).add(spec["seed"])
        against = spec.get("baseline", "preconditioning/baseline")
        separator = "/" if against == "preconditioning/baseline" else "_"
        baseline = trained[f"{against}{separator}seed{spec['seed']}"]
        assert baseline["training"] == spec["training"], run
        assert all_steps(trained, baseline) == all_steps(trained, spec), run
        assert not {"filter", "preconditioning"} & set(baseline), run
    assert all(len(seeds) >= least for seeds in by_group.values())


@pytest.mark.parametrize("scale", ["workstation", "paper"])
def test_controls_stand_beside_what_they_control(scale: str) -> None:
    identity = [spec for spec in points(scale, "chebyshev") if spec["filter"]["degree"] == 1]
    assert len(identity) == 1
    assert not any(design(identity[0]["filter"]).taps)
    controls = {spec["preconditioning"]["hint"]["control"] for spec in points(scale, "hint")}
    assert {"none", "zero", "duplicate"} <= controls
    heads = [spec["filter"] for spec in points(scale, "modes") if spec["preconditioning"].get("dual_head")]
    assert [any(design(spec).taps) for spec in heads] == [True, False]
    same_start = [spec for spec in points(scale, "finetune") if "filter" not in spec]
    assert len(same_start) == 1


def test_sweep_a_has_the_eleven_configurations_of_the_note() -> None:
    chosen = [
        spec
        for sweep in ("lyapunov", "lyapunov_d3", "learnable_fir", "loss_reversal01", "chebyshev_fir")
        for spec in points("paper", sweep)
    ]
    modes = [Preconditioner.of(spec) for spec in chosen]
    assert len(chosen) + 1 == 11
    assert {steps(spec) for spec in chosen} == {20_000}
    fixed = [mode for mode in modes if not mode.settings.learnable and mode.settings.fir]
    assert sorted((mode.filter.family, mode.filter.degree, mode.filter.lam) for mode in fixed if mode.filter)[
        1:
    ] == [("lyapunov", 3, 5), ("lyapunov", 4, 1), ("lyapunov", 4, 3), ("lyapunov", 4, 5)]
    assert {mode.settings.fir.weight for mode in fixed if mode.settings.fir} == {0.1}
    learned = [mode.settings for mode in modes if mode.settings.learnable]
    assert sorted(mode.fir.weight for mode in learned if mode.fir) == [0.1, 0.15, 0.2, 1]
    assert {mode.settings.fir.length for mode in modes if mode.settings.fir} == {64}
    (reversed_,) = [mode.settings.reversal_loss for mode in modes if mode.settings.reversal_loss]
    assert (reversed_.filtered, reversed_.reversed) == (1, 0.1)


def test_sweep_b_has_every_row_of_our_reproduction() -> None:
    rows = {
        label.removesuffix("_seed0"): spec
        for label, spec in ((run.split("/")[2], spec) for run, spec in runs("paper").items())
        if label.endswith("_seed0") and label.split("_seed")[0].endswith(("10k", "20k", "25k", "50k"))
    }
    assert {steps(spec) for spec in rows.values()} == {10_000, 20_000, 25_000, 50_000}
    assert rows["strong_l2_25k"]["preconditioning"]["l2"] == 50
    assert not any(design(rows["stride16_degree1_25k"]["filter"]).taps)
    assert steps(rows["stride16_degree4_50k"]) == 50_000
    grid = {
        (spec["filter"]["stride"], design(spec["filter"]).degree, steps(spec))
        for sweep in ("strides", "learnable", "learnable_short")
        for spec in points("paper", sweep)
    }
    strided = {(stride, degree, 10_000) for stride in (4, 8, 16, 32) for degree in (1, 2, 4)}
    assert grid == strided | {(1, 4, 10_000)}
    modes = {run.split("/")[2] for run in runs("paper") if run.startswith("preconditioning/modes/")}
    assert {"warm_start_seed0", "dual_loss_seed0", "dual_head_seed0"} <= modes
    tuned = [spec for spec in runs("paper").values() if "initial" in spec and "filter" in spec]
    assert any(spec["preconditioning"].get("reversal_loss") for spec in tuned)
    assert any(spec["preconditioning"].get("fir") for spec in tuned)
    assert points("paper", "loss_reversal")
    assert points("paper", "lyapunov_stride16")[0]["filter"]["stride"] == 16


def test_sweeps_c_and_d_have_every_degree() -> None:
    assert [spec["filter"]["degree"] for spec in points("paper", "chebyshev")] == list(range(1, 8))
    modes = [Preconditioner.of(spec) for spec in points("paper", "hint_degrees") + points("paper", "hint")]
    hints = [mode.settings.hint for mode in modes if mode.settings.hint]
    single = [mode for mode in modes if len(mode.hints) == 1]
    dropped = {mode.hints[0].degree for mode in single if mode.settings.hint and mode.settings.hint.dropout}
    assert dropped == set(range(2, 9))
    assert any(len(mode.hints) > 1 for mode in modes)
    assert any(not hint.dropout for hint in hints)
    assert {hint.control for hint in hints} == {"none", "zero", "duplicate", "noise"}


@pytest.mark.parametrize("sweep", ["frozen", "frozen_moirai2"])
def test_frozen_forecasters_meet_the_notes_filters_printed_and_recomputed(sweep: str) -> None:
    spec = next(spec for run, spec in runs("paper").items() if run.split("/")[1] == sweep)
    names = spec["evaluation"]["filters"]
    rows = [f"lyapunov_d{degree}_l{lam}" for degree in (3, 4) for lam in range(1, 6)]
    rows += [f"chebyshev_d{degree}" for degree in (3, 4, 5)]
    assert len(rows) == 13
    assert {*rows, *(f"printed_{row}" for row in rows)} <= set(names)
    assert any(name.startswith("matched") for name in names)
    assert set(spec["evaluation"]["reversals"]) == {"oracle", "self", "plug_in", "hybrid", "fir"}
    forecasters = {spec["forecaster"].get("name", "moirai2") for spec in points("paper", sweep)}
    assert forecasters == ({"seasonal_naive", "chronos2"} if sweep == "frozen" else {"moirai2"})


def test_a_filter_matched_to_residuals_is_not_trained_with() -> None:
    given = {"study": "preconditioning", "seed": 0, "model": {"kind": "moirai2"}, "training": {"steps": 2}}
    with pytest.raises(InputError, match=r"filter.autocovariance: a filter matched to residuals needs"):
        read(PreconditioningRun, {**given, "filter": {"family": "matched", "degree": 2}}, "run")
