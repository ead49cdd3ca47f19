"""The notes' claims against planted results: each reads the rows that its statement is about."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from specseq.report.claims import Claim, Entry, ledger, queries
from specseq.studies.equilibrium.tables import summary, walls
from specseq.studies.reports import load_claims
from specseq.tables import Provenance, write_parquet

CLAIMS = Path(__file__).parents[2] / "workflow" / "studies"
SEEDS = (0, 1, 2)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def claims() -> dict[str, Claim]:
    return {claim.id: claim for claim in load_claims(CLAIMS)}


@pytest.fixture(autouse=True, params=[queries.LARGE, 0], ids=["whole", "in_parts"])
def of_any_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are read whole or, as large ones, in the parts that queries ask for."""
    monkeypatch.setattr(queries, "LARGE", request.param)


def plant(folder: Path, name: str, rows: Iterable[Row]) -> None:
    write_parquet(folder / f"tables/{name}.parquet", pd.DataFrame(list(rows)), Provenance("table"))


def judged(claims: dict[str, Claim], folder: Path, *names: str, scale: str = "paper") -> list[Entry]:
    return [entry for entry in ledger([claims[name] for name in names], folder, scale)]


def test_memory_is_judged_where_it_was_taken_away(claims: dict[str, Claim], tmp_path: Path) -> None:
    """Slots are zeroed at the longest context alone, where the NLL is lower than at the short ones."""
    truncated = {10: 0.6, 32: 0.3, 64: 0.2, 127: 0.1}
    measured = [("nll_truncated", -1, context, nll) for context, nll in truncated.items()]
    measured += [("nll_without_slot", slot, 127, 0.12) for slot in range(8)]
    measured += [("nll_without_memory", -1, 127, 0.15)]
    rows = [
        {"group": "zeta/models/memory_published", "task": "real/test", "seed": seed, "metric": metric,
         "step": step, "context": context, "value": value + 0.01 * seed}
        for seed in SEEDS for metric, step, context, value in measured
    ]  # fmt: skip
    plant(tmp_path, "zeta_long", rows)
    whole, slot = judged(claims, tmp_path, "003.a.without_memory", "003.s6.slots.m3.used")
    assert (whole.verdict, whole.measured) == ("does not hold", pytest.approx(0.05))
    assert (slot.verdict, slot.measured) == ("reproduced", pytest.approx(0.02))


def equilibrium_results(folder: Path, runs: dict[str, dict[str, list[float]]]) -> None:
    """Curves of runs of the sweep ``wall``, alike in all seeds but for a little luck."""
    rows = [
        {
            "group": f"equilibrium/wall/{name}", "run": f"equilibrium/wall/{name}_seed{seed}", "seed": seed,
            "benchmark": "pretrain", "step": 10 * at, "progress": at / len(curve),
            "metric": f"valid/{metric}", "value": value + 0.001 * seed * (metric in ("loss", "alpha")),
        }
        for name, curves in runs.items() for seed in SEEDS
        for metric, curve in curves.items() for at, value in enumerate(curve, 1)
    ]  # fmt: skip
    plant(folder, "equilibrium_long", rows)
    inputs = {"long": [folder / "tables/equilibrium_long.parquet"]}
    write_parquet(
        folder / "tables/equilibrium.parquet",
        summary(inputs, {"scale": "paper"}),
        Provenance("table"),
    )
    by_seed = walls(inputs, {"scale": "paper"})
    write_parquet(folder / "tables/equilibrium_walls.parquet", by_seed, Provenance("table"))


WALLS = (
    "001.q1.wall_values_01",
    "001.q1.wall_values_005",
    "001.shared.smaller_step_measured",
    "001.shared.better_gradient_wall",
    "001.shared.better_gradient_measured",
    "001.shared.tiny_step",
    "001.shared.walls_measured",
    "001.q1.adaptive_eliminates",
    "001.q3.bptt",
)
CALM, BROKEN = [1e-6, 1e-6, 1e-6], [1e-6, 1e-6, 0.4]


def curves(residual: list[float], end: float, alpha: float = -0.3) -> dict[str, list[float]]:
    spectrum = {"alpha": [-0.5, -0.4, alpha], "im": [0.0, 0.0, 1.4]}
    return {"loss": [4.0, 3.5, end], "bigram_loss": [3.8] * 3, "force_residual": residual, **spectrum}


def test_a_run_that_never_breaks_has_no_wall(claims: dict[str, Claim], tmp_path: Path) -> None:
    ends = {"euler": 2.74, "small_step": 2.41, "tiny_step": 2.2, "euler_exact_adjoint": 3.02}
    ends |= {"adaptive": 2.3, "bptt": 1.83}
    equilibrium_results(tmp_path, {name: curves(CALM, end) for name, end in ends.items()})
    found = judged(claims, tmp_path, *WALLS, "004.s4.hopf_complex")
    assert {judgement.verdict for judgement in found} == {"undecided"}
    assert "broke is 0" in found[0].explanation
    assert "crossed is 0" in found[-1].explanation
    lost = {name: curves(BROKEN, end, alpha=0.3) for name, end in ends.items()}
    equilibrium_results(tmp_path, lost)
    found = judged(claims, tmp_path, *WALLS, "004.s4.hopf_complex")
    verdicts = dict(zip((*WALLS, "hopf"), (judgement.verdict for judgement in found), strict=True))
    assert verdicts.pop("001.shared.walls_measured") == "contradicted"
    assert set(verdicts.values()) == {"reproduced"}
    assert found[0].measured == pytest.approx(2.741)


def test_errors_of_trained_models_are_judged_by_their_spread(
    claims: dict[str, Claim], tmp_path: Path
) -> None:
    """One seed 2.5 % off says nothing; five that agree on it do."""
    name = "000.s3.runs.baseline_10k.gift"
    row: Row = {"group": "preconditioning/reproduction/baseline_10k", "forecaster": "trained"}
    row |= {"benchmark": "gift_eval", "reversal": "none", "mase_raw": 1.27}
    for seeds, ends, verdict in (
        (1, (np.nan, np.nan), "undecided"),
        (5, (1.25, 1.29), "undecided"),
        (5, (1.267, 1.273), "contradicted"),
    ):
        plant(
            tmp_path, "preconditioning", [{**row, "seeds": seeds, "mase_low": ends[0], "mase_high": ends[1]}]
        )
        assert judged(claims, tmp_path, name)[0].verdict == verdict


def test_references_are_judged_by_their_bootstrap_interval(claims: dict[str, Claim], tmp_path: Path) -> None:
    row = {"run": "zeta/references/ar32", "task": "real/test", "step": 100, "context": 128}
    ends = {"err_mean": 0.2595, "err_mean_low": 0.243, "err_mean_high": 0.276}
    plant(
        tmp_path, "zeta_long", [{**row, "metric": metric, "value": value} for metric, value in ends.items()]
    )
    (found,) = judged(claims, tmp_path, "003.references.published_rollout_ar32")
    assert (found.verdict, found.low, found.high) == ("undecided", 0.243, 0.276)


def test_a_hybrid_that_fails_on_tasks_is_not_judged_on_the_rest(
    claims: dict[str, Claim], tmp_path: Path
) -> None:
    def value(name: str, seed: int, task: int, failed: int) -> float:
        if name == "alternating" and seed == 1 and task < failed:
            return np.nan
        return (0.9 if name == "alternating" else 1.0) * (1 + 0.001 * seed * task)

    def rows(failed: int) -> list[Row]:
        return [
            {"group": f"stu/layout/{name}", "run": f"stu/layout/{name}_seed{seed}", "seed": seed,
             "task": f"t{task}", "benchmark": "gift_eval", "metric": "MASE",
             "value": value(name, seed, task, failed)}
            for name in ("attention", "alternating") for seed in SEEDS for task in range(10)
        ]  # fmt: skip

    verdicts = {}
    for failed in (0, 6, 10):
        plant(tmp_path, "stu_long", rows(failed))
        (found,) = judged(claims, tmp_path, "002.comparison.alternating.mase")
        verdicts[failed] = found.verdict
        if failed == 6:
            assert "6 of 10 tasks without a finite value with every seed" in found.explanation
    assert verdicts == {0: "reproduced", 6: "undecided", 10: "undecided"}


def test_sizes_are_those_counted(claims: dict[str, Claim], tmp_path: Path) -> None:
    names = [f"002.models.{model}.parameters_measured" for model in ("baseline", "hybrid")]
    for extra, verdict in ((0, "reproduced"), (384, "does not hold")):
        rows = [
            {
                "group": f"stu/layout/{layout}",
                "benchmark": "measurement",
                "metric": "parameters",
                "value": count,
            }
            for layout, count in (("attention", 13_827_528 + extra), ("alternating", 12_527_652 + extra))
        ]
        plant(tmp_path, "stu_long", rows)
        assert [found.verdict for found in judged(claims, tmp_path, *names)] == [verdict] * 2


def test_the_questions_of_section_six_are_about_runs_of_25_thousand_steps(claims: dict[str, Claim]) -> None:
    def group(name: str) -> str:
        return str(claims[name].quantity.query.where["group"]).removeprefix("preconditioning/")

    assert group("000.s6.stride16_beats_baseline") == "reproduction/stride16_degree4_25k"
    assert group("000.s6.stride16_d1_beats_baseline") == "reproduction/stride16_degree1_25k"
    assert group("000.s6.jobs.warm_start_25k") == "reproduction/warm_start_25k"


def test_the_spread_of_all_zeros_is_not_that_of_the_highest(claims: dict[str, Claim], tmp_path: Path) -> None:
    row = {"run": "zeta/references/data", "metric": "data_std", "seed": 0}
    rows = [{**row, "task": "real/test", "value": 0.4143}, {**row, "task": "real/all", "value": 0.4133}]
    plant(tmp_path, "zeta_long", rows)
    (found,) = judged(claims, tmp_path, "003.s6.std")
    assert (found.verdict, found.measured) == ("reproduced", 0.4133)


def test_only_runs_that_are_nowhere_are_called_undeclared(claims: dict[str, Claim], tmp_path: Path) -> None:
    run = {
        "group": "zeta/models/memory_published",
        "task": "real/test",
        "seed": 0,
        "context": 128,
        "step": 100,
    }
    plant(tmp_path, "zeta_long", [{**run, "metric": "err_mean", "value": 1.0}])
    names = ("003.c.rollout_training", "003.a.rollout", "003.s7.hermiticity")
    absent, unmeasured, other = judged(claims, tmp_path, *names)
    assert {absent.verdict, unmeasured.verdict, other.verdict} == {"not run"}
    assert "declares no such run" in absent.explanation
    assert absent.command == ""
    for found in (unmeasured, other):
        assert "declares no such run" not in found.explanation


def test_published_figures_stand_beside_evidence_of_their_own(claims: dict[str, Claim]) -> None:
    """A figure of Chronos-2 is not decided by seasonal naive, nor that of one filter by another."""
    for name, claim in claims.items():
        if name.endswith((".oracle_gains", ".self_loses", ".worse_than_baseline")):
            assert claim.spec.published == "", name
