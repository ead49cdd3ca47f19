"""What rules ask for: declared by study and rule, changed by scale and config."""

import re
from pathlib import Path

import pytest

from specseq.errors import InputError
from specseq.studies.config import RULES, StageResources, load_plan
from specseq.studies.planning import Planning

ROOT = Path(__file__).parents[2]
ATTENTION = "stu/layout/attention_seed0"


def planning(*words: str) -> Planning:
    return Planning(load_plan(ROOT, words=words))


def test_a_model_forecasts_on_a_gpu_and_a_naive_forecaster_does_not() -> None:
    plan = planning()
    gpus = {
        run: plan.resources("paper", "evaluate", run).gpus
        for run in (
            ATTENTION,
            "preconditioning/frozen/seasonal_naive",
            "preconditioning/frozen/chronos2",
            "preconditioning/frozen_moirai2/seed0",
        )
    }
    assert list(gpus.values()) == [1, 0, 1, 1]


def test_every_study_asks_for_its_own_and_small_scales_for_little() -> None:
    plan = planning()
    hours = [
        plan.resources("paper", "pretrain", run).minutes / 60
        for run in ("zeta/models/baseline_seed0", "equilibrium/wall/euler_seed0")
    ]
    assert hours == [1, 24]
    small = StageResources(minutes=30, mem_mb=2000, cpus=1, gpus=0)
    assert plan.resources("laptop", "pretrain", "equilibrium/wall/euler_seed0") == small
    assert plan.resources("smoke", "zeros") == small


def test_they_are_overridden_by_path_and_by_the_section_slurm() -> None:
    plan = planning("resources={zeta: {rollout: {minutes: 9}}, all: {mem_mb: 123}}")
    asked = plan.resources("paper", "rollout", "zeta/models/baseline_seed0")
    assert (asked.minutes, asked.mem_mb) == (9, 123)
    job = plan.slurm("paper", ATTENTION, {"partition": "long", "time": "3-0"})
    assert job == {"time": "3-0", "mem": "123MB", "cpus_per_task": 6, "gpus_per_node": 1, "partition": "long"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("resources={zeta: {rollout: {minuts: 9}}}", "resources.zeta.rollout.minuts: unknown key"),
        (
            "resources={zeta: {rollou: {minutes: 9}}}",
            "resources.zeta.rollou: unknown key; did you mean rollout",
        ),
        ("resources={zeta: {rollout: {minutes: 10:00}}}", "minutes: '10:00' is not a whole number"),
        ("resources={all: {gpus: -1}}", "resources.all.gpus: -1 is not at least 0"),
    ],
)
def test_a_wrong_one_is_one_line(words: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        planning(words).resources("paper", "zeros")


def test_the_rules_that_ask_are_known() -> None:
    files = (ROOT / "workflow" / "rules").glob("*.smk")
    asking = [rule for file in files for rule in re.findall(r'\*\*asked\("(\w+)"\)', file.read_text())]
    assert sorted([*asking, "pretrain"]) == sorted(RULES)
