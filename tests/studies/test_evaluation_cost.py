"""What ``specseq cost`` says of evaluations: windows, forward passes, devices, and recorded times."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from specseq.models.moirai.forecaster import MoiraiForecaster
from specseq.models.moirai.training import model_of as moirai_model
from specseq.models.moirai2.forecaster import Moirai2Forecaster
from specseq.models.moirai2.training import model_of as moirai2_model
from specseq.models.protocol import Query
from specseq.scoring.gift_eval import gift_evaluations
from specseq.scoring.metrics import LEVELS
from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_evaluation
from specseq.series.evaluation import TERMS
from specseq.settings import plain
from specseq.studies.config import load_plan
from specseq.studies.cost.benchmarks import WindowSet, window_sets
from specseq.studies.cost.devices import DEVICES
from specseq.studies.cost.estimate import Estimator
from specseq.studies.cost.forecasters import forward_passes
from specseq.studies.cost.forecasts import forecast_evaluations

ROOT = Path(__file__).parents[2]
PLAN = load_plan(ROOT)
# CPU seconds of stages of the laptop scale, from the footers of their results; each run has its part of the
# measurement.
RECORDED = json.loads((Path(__file__).parent / "laptop_evaluations.json").read_text(encoding="utf-8"))
STUDIES = ["equilibrium", "preconditioning", "stu", "zeta"]


def test_windows_of_embedded_sets_are_counted_as_they_will_be_scored(tmp_path: Path) -> None:
    sizes = EmbeddedSizes(frequencies=("15T", "H", "M"), series=3, steps=1024, evaluated=2)
    write_evaluation(tmp_path, embedded_sets(0, sizes))
    declared = window_sets("gift_eval", {"gift_eval": "embedded", "embedded": plain(sizes)}, tuple(TERMS), ())
    scored = {}
    for evaluation in gift_evaluations(tmp_path):
        contexts = [
            len(context) for batch in evaluation.batches(1000) for context in batch.windows.contexts()
        ]
        series = evaluation.config.series * evaluation.config.variates
        query = evaluation.query
        scored[evaluation.name] = WindowSet(
            series, len(contexts), float(np.mean(contexts)), query.horizon, query.freq
        )
    assert sorted(declared) == sorted(scored.values())
    assert {one.horizon for one in declared if one.freq == "15T"} == {48, 480}
    assert sorted(declared) == sorted(
        window_sets("gift_eval", {"gift_eval": str(tmp_path)}, tuple(TERMS), ())
    )


def test_windows_on_the_hub_are_those_of_the_published_facts() -> None:
    data = PLAN.data("paper")
    assert len(window_sets("gift_eval", data, tuple(TERMS), ())) == 97
    chosen = window_sets("gift_eval", data, ("short",), ("ett1/H",))
    assert chosen == (WindowSet(7, 140, 17420 - 10.5 * 48, 48, "H"),)
    assert len(window_sets("fev", data, (), ())) == 100
    assert window_sets("fev", data, (), ("epf_be",)) == (WindowSet(1, 20, 52416 - 10.5 * 24, 24, "H"),)
    (unrecorded,) = window_sets("fev", data, (), ("entsoe_15T",))
    assert (unrecorded.windows, unrecorded.freq) == (120, "15T")


MOIRAI2 = {
    "kind": "moirai2",
    "d_model": 16,
    "layers": 2,
    "heads": 2,
    "d_ff": 32,
    "tokens": 32,
    "predicted": 2,
}
MOIRAI = {"kind": "moirai", "d_model": 16, "layers": 2, "heads": 2, "d_ff": 32, "max_length": 32}
# Attention on the processor, which torch does not count.
ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(
        q, k, v
    )
}
MAKERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "moirai2": lambda params: Moirai2Forecaster(moirai2_model(params), device="cpu"),
    "moirai": lambda params: MoiraiForecaster(moirai_model(params), device="cpu"),
}


@pytest.mark.parametrize(
    ("model", "horizon"),
    # Of Moirai2, one pass, three, and five, which are extrapolated; of MOIRAI, one pass and two.
    [(MOIRAI2, 20), (MOIRAI2, 90), (MOIRAI2, 160), (MOIRAI, 96), (MOIRAI, 600)],
    ids=lambda value: str(value["kind"]) if isinstance(value, dict) else str(value),
)
def test_forecasts_have_the_flops_of_real_ones(model: dict[str, Any], horizon: int) -> None:
    forecaster = MAKERS[model["kind"]]({"model": model, "seed": 0})
    forecaster.model.requires_grad_(False)
    contexts = [np.random.default_rng(row).normal(size=256).astype(np.float32) for row in range(8)]
    with FlopCounterMode(display=False, custom_mapping=ON_CPU) as counter:
        forecaster.forecast(contexts, Query(horizon, LEVELS, 24, "H"))
    passes = forward_passes({"model": model, "hints": 0})
    assert passes is not None
    usage = passes.usage([WindowSet(8, 8, 256, horizon, "H")])
    assert usage.flops == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_twice_the_windows_are_twice_the_batches() -> None:
    passes = forward_passes({"model": MOIRAI2, "hints": 1})
    assert passes is not None
    batch = passes.at_once(256, WindowSet(1, 1, 256, 20, "H"))
    once, twice = (passes.usage([WindowSet(1, n * batch, 256, 20, "H")]) for n in (1, 2))
    assert twice.kernels == 2 * once.kernels
    assert twice.flops == 2 * once.flops


def test_a_stage_takes_core_hours_unless_its_resources_name_a_gpu() -> None:
    estimator = Estimator(PLAN, "rehearsal", DEVICES["h100"], lambda run: 60)
    trained, naive, audited, rolled = (
        estimator.cost(run)
        for run in (
            "preconditioning/baseline/seed0",
            "preconditioning/frozen/seasonal_naive",
            "equilibrium/wall/euler_seed0",
            "zeta/leak/causal_seed0",
        )
    )
    assert trained is not None
    assert trained.evaluation_gpu_hours > 0
    assert trained.evaluation_cpu_hours == 0
    for cost in (naive, audited, rolled):
        assert cost is not None
        assert cost.evaluation_cpu_hours > 0
        assert cost.evaluation_gpu_hours == 0


def test_each_filter_is_one_more_forecast_and_its_reversals_are_none() -> None:
    run = "preconditioning/frozen_moirai2/seed0"
    params = PLAN.run("laptop", run)
    stages = forecast_evaluations(params, PLAN, "laptop")
    assert stages is not None
    evaluate, residuals, matched = stages
    filters, modes = (len(params["evaluation"][name]) for name in ("filters", "reversals"))
    assert evaluate["passes"] == 1 + filters
    # Plain forecasts, and those of seasonal naive; each filter's reversals, and its oracle of seasonal naive.
    assert evaluate["variants"] == 2 + filters * (modes + 1)
    assert (residuals["rule"], residuals["passes"]) == ("residuals", 1)
    assert (matched["rule"], matched["matched"]) == ("design_matched", 4)


def test_each_benchmark_is_evaluated_on_its_own_selection() -> None:
    plan = load_plan(ROOT, words=["data={fev: hub}"])
    run = plan.run("rehearsal", "stu/layout/attention_seed0")
    stages = forecast_evaluations(run, plan, "rehearsal")
    assert stages is not None
    assert [len(stage["windows"]) for stage in stages] == [3, 1]


def test_the_cost_of_a_forecaster_from_elsewhere_is_not_known() -> None:
    elsewhere = {"name": "package.module:Class"}
    assert forecast_evaluations({"forecaster": elsewhere}, PLAN, "laptop") is None
    hybrid = {"reversals": ["hybrid"], "other": elsewhere}
    frozen = {"forecaster": {"name": "seasonal_naive"}, "evaluation": hybrid}
    assert forecast_evaluations(frozen, PLAN, "laptop") is None


@pytest.mark.parametrize("study", STUDIES)
def test_estimates_of_stages_are_within_twice_the_recorded_times(study: str) -> None:
    estimator = Estimator(PLAN, "laptop", DEVICES["cpu"], lambda run: 720)
    for run, taken in RECORDED["cpu_seconds"].items():
        if run.startswith(f"{study}/"):
            stages = estimator.evaluations(run)
            assert stages is not None
            assert [stage.rule for stage in stages] == list(taken)
            for stage in stages:
                assert 0.5 < stage.seconds / taken[stage.rule] < 2, (run, stage)
