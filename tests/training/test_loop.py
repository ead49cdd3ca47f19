"""The training loop: same numbers however often it is interrupted, in however many parts it computes."""

import math
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from specseq.errors import Diverged, InputError
from specseq.training.interrupt import Interrupted, Requests
from specseq.training.loop import Outcome, train
from specseq.training.parallel import World


def params(**training: Any) -> dict[str, Any]:
    defaults = {"steps": 12, "batch": 8, "lr": 0.01, "warmup": 3, "evaluate_every": 5, "tensorboard": False}
    return {"study": "toy", "seed": 3, "training": defaults | training}


def rows(outcome: Outcome) -> list[tuple[int, str, float]]:
    return [(step, name, value.hex()) for step, name, value in outcome.record]  # type: ignore[misc]


def weights(task: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in task.model.parameters()]


def test_loss_falls_and_everything_is_recorded(toy: ModuleType, tmp_path: Path) -> None:
    given = params(steps=200, warmup=0.1)
    outcome = train(toy.build(given, {}), given, tmp_path, "d")
    losses = [value for _, name, value in outcome.record if name == "loss"]
    assert len(losses) == 200
    assert sum(losses[-20:]) < 0.2 * sum(losses[:20])
    names = {name for _, name, _ in outcome.record}
    assert names == {"loss", "grad_norm", "lr", "norm", "valid/draw", "valid/loss"}
    assert [step for step, name, _ in outcome.record if name == "valid/loss"] == list(range(5, 201, 5))
    rates = {step: value for step, name, value in outcome.record if name == "lr"}
    assert rates[1] == 0.0
    assert rates[21] == 0.01
    assert rates[200] < 1e-5


def test_processes_that_make_batches_change_nothing(toy: ModuleType, tmp_path: Path) -> None:
    alone, helped = toy.build(params(), {}), toy.build(params(loaders=2), {})
    expected = train(alone, params(), tmp_path / "alone", "d")
    with pytest.raises(Interrupted):
        train(helped, params(loaders=2, leave_at=5), tmp_path / "helped", "d")
    helped = toy.build(params(loaders=2), {})
    outcome = train(helped, params(loaders=2, leave_at=5), tmp_path / "helped", "d")
    assert outcome.resumed_from == 5
    assert rows(outcome) == rows(expected)
    assert all(map(torch.equal, weights(helped), weights(alone)))


@pytest.mark.parametrize("leave_after", [1, 4, 11])
def test_resume_is_bit_exact(toy: ModuleType, tmp_path: Path, leave_after: int) -> None:
    given = params(checkpoint_every=100)
    whole = toy.build(given, {})
    expected = train(whole, given, tmp_path / "whole", "d")

    requests, first = Requests(), toy.build(given, {})
    after = first.after_step

    def leave_later(model: torch.nn.Module, step: int) -> dict[str, float]:
        requests.leave = step == leave_after
        return dict(after(model, step))

    first.after_step = leave_later
    with pytest.raises(Interrupted, match=f"step {leave_after} of 12"):
        train(first, given, tmp_path / "cut", "d", requests=requests)
    torch.rand(17)
    second = toy.build(given, {})
    outcome = train(second, given, tmp_path / "cut", "d")
    assert outcome.resumed_from == leave_after
    assert rows(outcome) == rows(expected)
    assert all(map(torch.equal, weights(second), weights(whole)))
    assert second.state["average"].value == whole.state["average"].value
    again = train(toy.build(given, {}), given, tmp_path / "cut", "d")
    assert again.resumed_from == 12
    assert rows(again) == rows(expected)


@pytest.mark.parametrize("last", [5, 12])
def test_a_long_evaluation_is_left_at_once_and_made_after_the_resume(
    toy: ModuleType, tmp_path: Path, last: int
) -> None:
    given = params(checkpoint_every=100, evaluate_every=5)
    whole = toy.build(given, {})
    expected = train(whole, given, tmp_path / "whole", "d")
    requests, first = Requests(), toy.build(given, {})
    evaluate = first.evaluate
    made = []

    def asked_in_its_midst(model: torch.nn.Module) -> dict[str, float]:
        made.append(model)
        if len(made) == {5: 1, 12: 3}[last]:
            torch.rand(3)
            requests.ask_to_leave()
            raise AssertionError("left at once")
        return dict(evaluate(model))

    first.evaluate = asked_in_its_midst
    with pytest.raises(Interrupted, match=f"before the evaluation at step {last} of 12"):
        train(first, given, tmp_path / "cut", "d", requests=requests)
    second = toy.build(given, {})
    outcome = train(second, given, tmp_path / "cut", "d")
    assert outcome.resumed_from == last
    assert rows(outcome) == rows(expected)
    assert all(map(torch.equal, weights(second), weights(whole)))


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_batches_made_ready_ahead_change_no_number(
    toy: ModuleType, tmp_path: Path, micro_batches: int
) -> None:
    given = {ahead: params(prefetch=ahead, micro_batches=micro_batches) for ahead in (0, 3)}
    tasks = {ahead: toy.build(settings, {}) for ahead, settings in given.items()}
    expected = train(tasks[0], given[0], tmp_path / "0", "d")
    requests, threads = Requests(), threading.active_count()
    after = tasks[3].after_step

    def leave_at_four(model: torch.nn.Module, step: int) -> dict[str, float]:
        requests.leave = step == 4
        return dict(after(model, step))

    tasks[3].after_step = leave_at_four
    with pytest.raises(Interrupted):
        train(tasks[3], given[3], tmp_path / "3", "d", requests=requests)
    resumed = toy.build(given[3], {})
    assert rows(train(resumed, given[3], tmp_path / "3", "d")) == rows(expected)
    assert all(map(torch.equal, weights(resumed), weights(tasks[0])))
    assert threading.active_count() == threads, "no thread is left behind"


def test_evaluation_does_not_disturb_training(toy: ModuleType, tmp_path: Path) -> None:
    often, never = params(evaluate_every=1), params(evaluate_every=0)
    first, second = toy.build(often, {}), toy.build(never, {})
    train(first, often, tmp_path / "a", "d")
    train(second, never, tmp_path / "b", "d")
    assert all(map(torch.equal, weights(first), weights(second)))


def test_checkpoint_of_other_parameters_is_not_used(
    toy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = params()
    train(toy.build(given, {}), given, tmp_path, "one")
    outcome = train(toy.build(given, {}), given, tmp_path, "two")
    assert outcome.resumed_from == 0
    assert "other parameters or code" in capsys.readouterr().out


def test_diverged_run_is_a_result(toy: ModuleType, tmp_path: Path) -> None:
    given = params() | {"data": {"bad_step": 7}}
    task = toy.build(given, {})
    outcome = train(task, given, tmp_path, "d")
    assert outcome.diverged == "the loss is nan at step 7"
    assert outcome.step == 6
    assert all(torch.isfinite(w).all() for w in weights(task))
    again = train(toy.build(given, {}), given, tmp_path, "d")
    assert (again.diverged, again.step, again.resumed_from) == (outcome.diverged, 6, 6)
    assert rows(again) == rows(outcome)


def test_divergence_that_a_task_finds_itself(toy: ModuleType, tmp_path: Path) -> None:
    def overflow(*anything: Any) -> Any:
        raise Diverged("the fixed point was not reached")

    for hook in ("loss", "after_step", "evaluate"):
        given = params()
        task = toy.build(given, {})
        setattr(task, hook, overflow)
        outcome = train(task, given, tmp_path / hook, "d")
        assert outcome.diverged == "the fixed point was not reached"
        assert outcome.step == {"loss": 0, "after_step": 1, "evaluate": 5}[hook]


def test_weights_that_the_last_step_overflows_are_no_result(toy: ModuleType, tmp_path: Path) -> None:
    given = params()
    task = toy.build(given, {})

    def overflow(model: torch.nn.Module, step: int) -> dict[str, float]:
        if step == given["training"]["steps"]:
            model.get_parameter("0.weight").data[0, 0] = math.inf
        return {}

    task.after_step = overflow
    outcome = train(task, given, tmp_path, "d")
    assert outcome.diverged == f"weights 0.weight are not finite after step {outcome.step}"
    last = {name for step, name, _ in outcome.record if step == outcome.step}
    assert last == {"loss", "grad_norm", "lr"}, "nothing is evaluated"


def test_parts_without_anything_to_learn_from(toy: ModuleType, tmp_path: Path) -> None:
    given = params(micro_batches=2, steps=3)
    task = toy.build(given, {})
    loss = task.loss

    def empty_first_half(model: torch.nn.Module, batch: Any) -> Any:
        value, metrics = loss(model, batch)
        wanted = float(task.batches.drawn > 1)
        return value * wanted, {**metrics, "weight": wanted}

    task.loss = empty_first_half
    outcome = train(task, given, tmp_path, "d")
    losses = [value for _, name, value in outcome.record if name == "loss"]
    assert losses[0] == 0
    assert all(value > 0 for value in losses[1:])


def test_micro_batches_minimise_the_same_mean(toy: ModuleType, tmp_path: Path) -> None:
    outcomes = {}
    for pieces in (1, 3):
        given = params(micro_batches=pieces, steps=6)
        task = toy.build(given, {})
        task.model[2].p = 0.0
        outcomes[pieces] = train(task, given, tmp_path / str(pieces), "d")
    for (_, name, one), (_, _, three) in zip(outcomes[1].record, outcomes[3].record, strict=True):
        assert math.isclose(one, three, rel_tol=1e-4, abs_tol=1e-7), name


@pytest.mark.parametrize(("pieces", "world"), [(9, World()), (3, World(rank=1, size=3)), (1, World(size=9))])
def test_more_parts_than_rows_are_a_wrong_setting(
    toy: ModuleType, tmp_path: Path, pieces: int, world: World
) -> None:
    given = params(micro_batches=pieces)
    with pytest.raises(InputError, match=r"training\.micro_batches: .* more than the batch of 8"):
        train(toy.build(given, {}), given, tmp_path, "d", world=world)


def test_a_step_that_the_gpu_does_not_hold_is_one_line(toy: ModuleType, tmp_path: Path) -> None:
    def too_large(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")

    task = toy.build(params(), {})
    task.loss = too_large
    fault = r"1 do not make a batch of \d+ fit into the GPU \(CUDA out of memory\); use more, or a GPU with"
    with pytest.raises(InputError, match=fault):
        train(task, params(), tmp_path, "d")


def test_bfloat16_is_near_float32_and_not_it(toy: ModuleType, tmp_path: Path) -> None:
    last = {}
    for precision in ("float32", "auto", "tf32", "bfloat16"):
        given = params(precision=precision, steps=20)
        outcome = train(toy.build(given, {}), given, tmp_path / precision, "d", device=torch.device("cpu"))
        last[precision] = [value for _, name, value in outcome.record if name == "loss"]
    assert last["auto"] == last["float32"] == last["tf32"]
    assert last["bfloat16"] != last["float32"]
    assert last["bfloat16"] == pytest.approx(last["float32"], rel=0.1, abs=0.02)


def test_compiled_model_computes_the_loss(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[torch.nn.Module] = []

    class Compiled(torch.nn.Module):
        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            self.inner, self.calls = model, 0
            compiled.append(self)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            result: torch.Tensor = self.inner(x)
            return result

    monkeypatch.setattr(torch, "compile", Compiled)
    given = params(compile=True, steps=5, evaluate_every=0)
    outcome = train(toy.build(given, {}), given, tmp_path / "compiled", "d")
    assert compiled[0].calls == 5
    plain = train(toy.build(params(), {}), params(steps=5, evaluate_every=0), tmp_path / "plain", "d")
    assert rows(outcome) == rows(plain)


def test_metrics_are_logged_as_often_as_asked(toy: ModuleType, tmp_path: Path) -> None:
    given = params(log_every=5)
    outcome = train(toy.build(given, {}), given, tmp_path, "d")
    assert [step for step, name, _ in outcome.record if name == "loss"] == [5, 10, 12]


def test_checkpoints_by_the_clock(toy: ModuleType, tmp_path: Path) -> None:
    steps = {}
    for minutes in (0, 1e-9):
        given = params(checkpoint_minutes=minutes)
        train(toy.build(given, {}), given, tmp_path / str(minutes), "d")
        steps[minutes] = sorted(int(p.stem[-9:]) for p in (tmp_path / str(minutes)).glob("checkpoint_*"))
    assert steps == {0: [12], 1e-9: [11, 12]}


def test_request_to_save_saves_and_goes_on(toy: ModuleType, tmp_path: Path) -> None:
    requests, given = Requests(), params()
    task = toy.build(given, {})
    after = task.after_step

    def ask(model: torch.nn.Module, step: int) -> dict[str, float]:
        requests.save = step == 5
        return dict(after(model, step))

    task.after_step = ask
    assert train(task, given, tmp_path, "d", requests=requests).step == 12
    assert sorted(int(p.stem[-9:]) for p in tmp_path.glob("checkpoint_*")) == [5, 12]


def test_rules_that_set_gradients_themselves(toy: ModuleType, tmp_path: Path) -> None:
    given = params(steps=6, evaluate_every=0)
    plain = train(toy.build(given, {}), given, tmp_path / "loss", "d")
    task = toy.build(given, {})
    loss = task.loss

    def gradients(model: torch.nn.Module, batch: Any) -> dict[str, float]:
        value, _ = loss(model, batch)
        value.backward()
        return {"loss": float(value.detach())}

    task.loss, task.gradients = None, gradients
    assert rows(train(task, given, tmp_path / "rule", "d")) == rows(plain)
    with pytest.raises(InputError, match="micro_batches"):
        train(task, params(micro_batches=2), tmp_path / "parts", "d")


def test_disk_that_takes_no_checkpoint_does_not_stop_the_run(
    toy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = params(checkpoint_every=4)
    (tmp_path / "file").write_text("no folder")
    outcome = train(toy.build(given, {}), given, tmp_path / "file" / "checkpoints", "d")
    assert outcome.step == 12
    assert "no checkpoint written at step 4" in capsys.readouterr().out


def test_tensorboard_scalars(toy: ModuleType, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    given = params(tensorboard=True)
    outcome = train(toy.build(given, {}), given, tmp_path, "d")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    written = [event.value for event in events.Scalars("loss")]
    recorded = [value for _, name, value in outcome.record if name == "loss"]
    assert written == pytest.approx(recorded, rel=1e-6)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"stepz": 3}, "training.stepz: unknown key; did you mean steps"),
        ({"steps": 0}, "training.steps: 0 is not at least 1"),
        ({"steps": 1.5}, "training.steps: 1.5 is not a whole number"),
        ({"lr": "fast"}, "training.lr: 'fast' is not a number"),
        ({"lr": float("nan")}, "training.lr"),
        ({"schedule": "linear"}, "training.schedule: 'linear' is unknown; known: cosine"),
        ({"betas": [0.9, 1.0]}, "training.betas"),
        ({"compile": 1}, "training.compile"),
        ({"cycles": 3}, "training.cycles: has no effect with schedule cosine; use cosine_restarts"),
        ({"schedule": "constant", "warmup": 3}, "training.warmup: has no effect"),
        ({"steps": 4, "warmup": 5}, "training.warmup: 5 steps are more than the 4 of the run; shorten it"),
        ({"warmup": 1.5}, "training.warmup: 1.5 is not a whole number of steps; round it"),
        (
            {"batch": 2, "micro_batches": 3},
            "training.micro_batches: 3 are more than the batch of 2; use fewer",
        ),
        ({"steps": 4, "leave_at": 4}, "training.leave_at: no step of 4 is left after 4; lower it"),
        ({"prefetch": -1}, "training.prefetch: -1 is not at least 0"),
    ],
)
def test_wrong_settings_are_named(
    toy: ModuleType, tmp_path: Path, setting: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(toy.build(params(), {}), params(**setting), tmp_path, "d")


def test_a_task_that_has_nothing_to_begin_from_ends_as_diverged(toy: ModuleType, tmp_path: Path) -> None:
    given = params()
    task = toy.build(given, {})
    task.diverged = "the run that it begins from did: the loss is nan at step 5"
    outcome = train(task, given, tmp_path, "d")
    assert (outcome.step, outcome.diverged) == (0, task.diverged)
    again = train(toy.build(given, {}), given, tmp_path, "d")
    assert again.diverged == task.diverged, "the checkpoint says so"
