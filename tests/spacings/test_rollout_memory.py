"""Memory kept, zeroed or faded in rollouts: the same bits where two of them are one, and rows beside rows."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from specseq.errors import InputError
from specseq.settings import read
from specseq.spacings import evaluation
from specseq.spacings import rollout as module
from specseq.spacings.config import SpacingEvaluation, SpacingModelConfig
from specseq.spacings.evaluation import evaluate_model
from specseq.spacings.model import SpacingModel
from specseq.spacings.rollout import rollout, rollout_without_cache, window_length, with_memory
from specseq.spacings.rollout_config import MEMORY_KEPT, RolloutSettings
from specseq.spacings.sets import load_spacing_set
from specseq.studies import studies
from specseq.studies.zeta.study import ZetaRun
from specseq.tables.kept import Kept

HORIZON = 30
MASKS = pytest.mark.parametrize("mask", ["causal", "published"])


def lively(**factors: Any) -> SpacingModel:
    """A small model with weights large enough that memory shows in its outputs."""
    torch.manual_seed(0)
    sizes = {"length": 24, "width": 16, "blocks": 2, "heads": 2, "components": 3, "slots": 3}
    model = SpacingModel(read(SpacingModelConfig, {**sizes, **factors}, "model")).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def rolled(model: SpacingModel, sampled: bool = False, roll: Any = rollout, **settings: Any) -> Tensor:
    """A rollout over the end of the window; without settings, one that never heard of memory's strength."""
    draw = torch.Generator().manual_seed(1)
    context, height = torch.rand(4, 9, generator=draw) + 0.5, torch.full((4,), 7.5e7)
    source = torch.Generator().manual_seed(3) if sampled else None
    if not settings:
        return roll(model, context, height, HORIZON, source)
    mode = settings["memory"]
    spec = read(RolloutSettings, {**settings, "memory": ["kept", mode][mode == "kept" :]}, "rollout")
    return roll(model, context, height, HORIZON, source, spec.strengths(mode, HORIZON))


@MASKS
@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("roll", [rollout, rollout_without_cache])
def test_fading_by_one_keeps_and_by_nought_zeroes(mask: str, sampled: bool, roll: Any) -> None:
    model = lively(attention_mask=mask)
    plain = rolled(model, sampled, roll)
    zeroed = rolled(model, sampled, roll, memory="zeroed")
    assert torch.equal(rolled(model, sampled, roll, memory="kept"), plain)
    assert torch.equal(rolled(model, sampled, roll, memory="faded", fade=1.0), plain)
    assert torch.equal(rolled(model, sampled, roll, memory="faded", fade=0.0), zeroed)
    assert (zeroed - plain).abs().max() > 1e-3


def test_zeroed_memory_is_a_model_whose_slots_are_zero() -> None:
    model, empty = lively(), lively()
    torch.nn.init.zeros_(empty.get_parameter("memory"))
    assert torch.equal(rolled(model, memory="zeroed"), rolled(empty))
    assert with_memory(model, 1.0) is model
    assert model.get_parameter("memory").abs().min() > 0


@MASKS
@pytest.mark.parametrize("settings", [{"memory": "zeroed"}, {"memory": "faded"}])
def test_the_cached_path_gives_what_the_path_without_cache_gives(mask: str, settings: dict[str, Any]) -> None:
    model = lively(attention_mask=mask).double()
    context, height = torch.rand(3, 9, dtype=torch.double) + 0.5, torch.full((3,), 7.5e7)
    mode = settings["memory"]
    strengths = RolloutSettings(memory=("kept", mode)).strengths(mode, HORIZON)
    cached, plain = (
        roll(model, context, height, HORIZON, None, strengths) for roll in (rollout, rollout_without_cache)
    )
    assert (cached - plain).abs().max() < 1e-10


def test_each_step_reads_memory_of_its_strength() -> None:
    """By the definition: the mean of the model with slots of the step's strength, at the window's end."""
    model = lively()
    context, height = torch.rand(2, 5) + 0.5, torch.full((2,), 7.5e7)
    history = context
    for step in range(1, 4):
        weaker = lively()
        with torch.no_grad():
            weaker.get_parameter("memory").mul_(0.5**step)
            mean = weaker(history, height)[:, -1].expectation()
        history = torch.cat([history, mean[:, None]], 1)
    strengths = RolloutSettings(memory=("kept", "faded"), fade=0.5).strengths("faded", 3)
    assert strengths == (0.5, 0.25, 0.125)
    assert torch.allclose(rollout(model, context, height, 3, None, strengths), history[:, 5:], atol=1e-6)


def test_linear_fading_is_the_notes() -> None:
    """memory * (1 - rollout_step / max_steps), steps from 0."""
    assert RolloutSettings(memory=("kept", "faded")).strengths("faded", 4) == (1.0, 0.75, 0.5, 0.25)


@pytest.mark.parametrize(("context", "restart"), [(9, 9), (1, 1), (24, 18)])
def test_windows_grow_and_begin_anew(context: int, restart: int) -> None:
    model, expected = lively(), []
    length = context
    for _ in range(60):
        expected.append(length)
        length = restart if length == 24 else length + 1
    assert [window_length(step, context, model) for step in range(1, 61)] == expected


def test_modes_stand_side_by_side_and_leave_the_other_rows_alone(manifest: Path) -> None:
    test = load_spacing_set(manifest, "real", "test")
    spec = SpacingEvaluation(
        windows=20, contexts=(4, 8), rollout_contexts=(4, 8), horizons=(1, 10, 30), draws=20, kernel_windows=4
    )
    model = lively()
    every = RolloutSettings(memory=("kept", "zeroed", "faded"))
    plain, rows = (evaluate_model(model, test, spec, 0, settings) for settings in (MEMORY_KEPT, every))
    added = [row for row in rows if "zeroed" in row["metric"] or "faded" in row["metric"]]
    assert [row for row in rows if row not in added] == plain
    kept = {(row["metric"], row["step"], row["context"]) for row in plain if row["metric"].startswith("err_")}
    for mode in ("zeroed", "faded"):
        named = {(m.replace(f"_{mode}", ""), s, c) for m, s, c in map(_key, added) if mode in m}
        assert named == kept
    value = {_key(row): row["value"] for row in rows}
    # The first step of a linear fade reads whole memory; without memory it predicts otherwise.
    assert value["err_mean_faded", 1, 8] == pytest.approx(value["err_mean", 1, 8], abs=1e-6)
    assert abs(value["err_mean_zeroed", 1, 8] - value["err_mean", 1, 8]) > 1e-4


@pytest.mark.parametrize("sampled", [False, True])
def test_a_rollout_goes_on_from_its_last_state(
    sampled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT_EVERY", 0.0)
    model, kept, calls = lively(attention_mask="published"), Kept(tmp_path, {}), 0

    def some(*arguments: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 13:
            raise KeyboardInterrupt
        return following(*arguments)

    following = module._next
    whole = rolled(model, sampled)
    monkeypatch.setattr(module, "_next", some)
    keeping = partial(rollout, kept=kept, name="a")
    with pytest.raises(KeyboardInterrupt):
        rolled(model, sampled, keeping)
    assert torch.equal(rolled(model, sampled, keeping), whole)
    assert calls == 13 + whole.shape[1] - 12


def test_a_killed_evaluation_reads_what_it_has_measured(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = load_spacing_set(manifest, "real", "test")
    spec = SpacingEvaluation(
        windows=8, contexts=(4, 8), rollout_contexts=(4, 8), horizons=(1, 10), draws=20, kernel_windows=4
    )
    model, kept = lively(), Kept(tmp_path / "parts", {})
    whole = evaluate_model(model, test, spec, 0)
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "_probes", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluate_model(model, test, spec, 0, kept=kept)
    monkeypatch.setattr(evaluation, "rollout", lambda *_: 1 / 0)
    assert evaluate_model(model, test, spec, 0, kept=kept) == whole


def _key(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["metric"], row.get("step", -1), row.get("context", -1)


@pytest.mark.parametrize(
    ("rollout", "message"),
    [
        ({"memory": ["zeroed"]}, "rollout.memory.*kept is missing"),
        ({"memory": ["kept", "zeroed", "zeroed"]}, "rollout.memory.*twice"),
        ({"memory": ["kept", "forgotten"]}, "rollout.memory"),
        ({"memory": ["kept", "faded"], "fade": 1.5}, "rollout.fade"),
        ({"memory": ["kept", "zeroed"]}, "rollout.memory.*no effect without memory"),
    ],
)
def test_bad_settings_name_their_key(rollout: dict[str, Any], message: str) -> None:
    run = {"seed": 0, "model": {"length": 128}, "training": {"steps": 1, "batch": 1, "lr": 0.1}}
    sizes = {"evaluation": {"contexts": [10]}}
    with pytest.raises(InputError, match=message):
        read(ZetaRun, {**run, **sizes, "rollout": rollout}, "run")


def test_no_training_depends_on_them() -> None:
    params = {"model": {}, "rollout": {"memory": ["kept", "zeroed"]}, "evaluation": {}}
    assert studies()["zeta"].training_params(params) == {"model": {}}
