"""``specseq cost``: what is metered without values against real steps, and the table."""

import json
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from specseq.commands.cost import main
from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import EquilibriumRun
from specseq.equilibrium.trainer import Trainer
from specseq.errors import InputError
from specseq.models.layout import exact
from specseq.models.moirai2.batch import Moirai2Stream, Preconditioner
from specseq.models.moirai2.config import Moirai2Config
from specseq.models.moirai2.training import model_of
from specseq.series.stream import moirai2_stream
from specseq.settings import read
from specseq.studies.config import load_plan
from specseq.studies.cost.by_sweep import by_sweep, with_measurements
from specseq.studies.cost.devices import DEVICES, read_device
from specseq.studies.cost.estimate import Cost, Estimator, seconds
from specseq.studies.cost.step import nominal_store
from specseq.studies.equilibrium import cost as equilibrium
from specseq.studies.preconditioning import cost as preconditioning
from specseq.training.metering import FLOPS, Usage
from specseq.training.settings import TrainingSettings


def with_shapes(formula: Any) -> Any:
    """A formula as FlopCounterMode takes it, if it determines shapes itself."""

    def flops(*args: Any, **kwargs: Any) -> Any:
        return formula(*args, **kwargs)

    flops._get_raw = True  # type: ignore[attr-defined]
    return flops


TEXT = {"text": {"tokeniser": {"size": 24}}}
TRAINING = TrainingSettings(steps=1, batch=3)
ROOT = Path(__file__).parents[2]
# Products in place, which torch does not count.
IN_PLACE = {operator: with_shapes(FLOPS[operator]) for operator in FLOPS.keys() - flop_registry.keys()}


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"solver": {"name": "anderson"}},
        {"solver": {"name": "rk4"}},
        {"estimator": {"name": "holomorphic", "points": 4}},
        {"estimator": {"name": "adjoint"}},
        {"estimator": {"name": "lock_in", "period": 6, "cycles": 2}},
        {"rule": "bptt"},
        {"rule": "transformer"},
        {"regularisers": {"jacobian": {"weight": 0.1}, "residual": {"weight": 1}}},
    ],
    ids=str,
)
def test_an_equilibrium_step_has_the_flops_of_a_real_one(run: dict[str, object]) -> None:
    params = {
        "model": {"width": 16, "heads": 2, "length": 12},
        "free": {"evaluations": 20, "tolerance": 1e-30},
        "nudged": {"evaluations": 24, "tolerance": 1e-30},
        **run,
    }
    settings = read(EquilibriumRun, {**params, "training": {"steps": 1, "batch": 3}}, "run")
    block = EquilibriumBlock(settings.model, 24, torch.Generator().manual_seed(0))
    trainer = Trainer(settings, 0)
    tokens = torch.randint(24, (3, 12))
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        trainer.gradients(block, {"tokens": tokens, "targets": tokens})
    usage = equilibrium.step(equilibrium.kind(params, TEXT), TRAINING, (1, 1), gpu=True)
    assert usage.device.flops == pytest.approx(counter.get_total_flops(), rel=0.05)


@pytest.mark.parametrize(
    "mode",
    [
        {},
        {"filter": {"family": "chebyshev", "degree": 4}, "preconditioning": {"learnable": True}},
        {
            "filter": {"family": "lyapunov", "degree": 2, "lam": 5},
            "preconditioning": {"fir": {"weight": 0.1, "length": 8}},
        },
        {"filter": {"family": "chebyshev", "degree": 4}, "preconditioning": {"hint": {"dropout": 0.1}}},
    ],
    ids=["baseline", "learnable", "fir", "hint"],
)
def test_a_moirai2_step_has_the_flops_of_a_real_one(mode: dict[str, object]) -> None:
    params = {"model": {"d_model": 16, "layers": 1, "heads": 2, "d_ff": 32, "tokens": 16}, **mode}
    described = preconditioning.kind(params, {})
    usage = preconditioning.step(described, TRAINING, (200, 400), gpu=False)
    config = read(Moirai2Config, params["model"], "model")
    packed = moirai2_stream(nominal_store(200, 400), 3, 0, 16)
    raw = next(Moirai2Stream(packed, config, Preconditioner.of(params)))
    model = model_of({**params, "seed": 0})
    batch = raw.prepare(exact)
    with FlopCounterMode(display=False) as counter:
        model(batch)[0].backward()
    assert usage.device.flops == pytest.approx(counter.get_total_flops(), rel=0.05)
    assert usage.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_runs_of_a_kind_differ_in_values_alone() -> None:
    plan = load_plan(ROOT)
    lam1, lam5, longer = (
        preconditioning.kind(plan.run("paper", run), {})
        for run in (
            "preconditioning/lyapunov/lam1_seed0",
            "preconditioning/lyapunov/lam5_seed3",
            "preconditioning/lyapunov_stride16/lam5_seed0",
        )
    )
    assert lam1 == lam5 != longer


def test_an_operator_takes_what_its_slowest_resource_takes() -> None:
    h100 = DEVICES["h100"]
    one = Usage()
    one.operators["float32", 67e12, 4.0] = 1
    assert seconds(one, h100) == (pytest.approx(1 / h100.utilisation), "products")
    many = Usage()
    many.operators["float32", 0.0, 3350e9] = 1
    assert seconds(many, h100) == (pytest.approx(1 / h100.streaming), "memory")
    small = Usage()
    small.operators["float32", 10.0, 4.0] = 1000
    assert seconds(small, h100) == (pytest.approx(1000 * h100.kernel), "overhead")


def _cost(run: str, **values: object) -> Cost:
    base = {
        "study": run.split("/")[0], "sweep": run.split("/")[1], "evaluation_gpu_hours": 0.25,
        "evaluation_cpu_hours": 2.0, "kind": 0, "steps": 3600, "step_flops": 1e12,
        "step_bytes": 2.0**30, "step_seconds": 1.0, "bound": "products", "training_hours": 1.0,
        "host_hours": 0.5, "segments": 1, "disk_bytes": 1e9,
    }  # fmt: skip
    return Cost(run=run, **{**base, **values})  # type: ignore[arg-type]


def test_the_table_sums_runs_by_sweep_study_and_all() -> None:
    table = by_sweep([_cost("a/x/1"), _cost("a/x/2", step_bytes=2.0**31), _cost("a/y/1"), _cost("b/z/1")])
    rows = table.set_index(["study", "sweep"])
    assert rows.index.tolist() == [("a", "x"), ("a", "y"), ("a", "*"), ("b", "z"), ("b", "*"), ("*", "*")]
    assert rows["runs"].tolist() == [2, 1, 3, 1, 1, 4]
    assert rows["gpu_hours"].tolist() == [2, 1, 3, 1, 1, 4]
    assert rows.loc[("a", "x"), "gib_per_step"] == 2
    assert rows.loc[("*", "*"), "host_cpu_hours"] == 2


def test_evaluations_are_summed_and_runs_without_training_do_not_count_as_trained() -> None:
    frozen = Cost("a/frozen/1", "a", "frozen", evaluation_gpu_hours=4, evaluation_cpu_hours=8)
    elsewhere = Cost("a/frozen/2", "a", "frozen", evaluation_gpu_hours=nan, evaluation_cpu_hours=nan)
    rows = by_sweep([_cost("a/x/1"), frozen, elsewhere]).set_index(["study", "sweep"])
    assert rows["evaluation_gpu_hours"].tolist() == [0.25, 4, 4.25, 4.25]
    assert rows["evaluation_cpu_hours"].tolist() == [2, 8, 10, 10]
    assert rows["runs"].tolist() == [1, 0, 1, 1]
    trained = ["steps", "tflop_per_step", "gib_per_step", "bound", "gpu_hours", "jobs", "disk_gb"]
    assert rows.loc[("a", "x"), trained].tolist() == rows.loc[("a", "*"), trained].tolist()
    assert rows.loc[("a", "frozen"), trained].tolist() == [0, 0, 0, "", 0, 0, 0]


def test_a_rehearsal_replaces_the_estimates_of_its_kind() -> None:
    costs = [_cost("a/x/1"), _cost("a/x/2"), _cost("a/y/1", kind=1)]
    rows = [
        {"run": "a/x/1", "seconds_per_step": 3.0, "device_peak_mb": 5.0, "batch": 8},
        {"run": "a/y/1", "seconds_per_step": 9.0, "device_peak_mb": 5.0, "batch": 4},
    ]
    measured = pd.DataFrame(rows).assign(published_batch=8)
    first, second, other = with_measurements(costs, measured, lambda run: 90)
    assert first.training_hours == second.training_hours == pytest.approx(3)
    assert first.segments == 2
    assert second.measured
    assert second.step_bytes == 5 * 2**20
    assert second.host_hours == costs[1].host_hours
    assert other == costs[2]


# CPU-seconds of a step of the laptop scale, the median of several, by benchmarks/bench_small.py on a core
# that was shared with other work: a large product ran at the rate that is recorded too.
RECORDED = json.loads((Path(__file__).parent / "laptop_steps.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("study", ["equilibrium", "preconditioning", "stu", "zeta"])
def test_estimates_of_the_laptop_scale_are_within_twice_the_recorded_times(study: str) -> None:
    plan = load_plan(ROOT)
    estimator = Estimator(plan, "laptop", DEVICES["cpu"], lambda run: 720)
    taken = {
        run: seconds for run, seconds in RECORDED["seconds_per_step"].items() if run.startswith(f"{study}/")
    }
    costs = [estimator.cost(run) for run in taken]
    slower = 1e3 * DEVICES["cpu"].float32 / RECORDED["gflop_per_second"]
    estimated = slower * sum(cost.step_seconds for cost in costs if cost is not None)
    assert 0.5 < estimated / sum(taken.values()) < 2


def test_the_command_prints_a_table_and_writes_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    call = ["--root", str(ROOT), "--scale", "smoke", "--only", "zeta", "--gpu", "rtx4090"]
    main([*call, "--csv", str(tmp_path / "cost.csv")])
    printed = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "cost.csv")
    assert printed.startswith("smoke on rtx4090, products at 50% of its rates")
    assert "zeta/models" in printed
    assert set(table["study"]) == {"zeta", "*"}
    assert (table["evaluation_cpu_hours"] > 0).all()
    assert (table["evaluation_gpu_hours"] == 0).all()
    main([*call, "--json"])
    assert len(json.loads(capsys.readouterr().out)) == len(table)
    assert list((tmp_path / "cache" / "specseq").glob("usages_*.json"))


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--gpu", "h1000"], "neither a known device nor a file"),
        (["--only", "zetta"], "did you mean zeta"),
        (["--utilisation", "0"], "is not a share"),
    ],
)
def test_a_wrong_option_is_named(options: list[str], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        main(["--root", str(ROOT), "--scale", "smoke", *options])


def test_a_device_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text("{name: mine, float32: 10, bfloat16: 20, float64: 1, bandwidth: 500, memory: 12}")
    assert read_device(str(path)).memory == 12
    path.write_text("{name: mine, float33: 10}")
    with pytest.raises(InputError, match="float33"):
        read_device(str(path))
