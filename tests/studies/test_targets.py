"""A target that no rule can make is refused before anything is made for it; the nearest ones are named."""

from pathlib import Path

import pytest

from specseq.errors import InputError
from specseq.studies import products, studies
from specseq.studies.config import load_plan
from specseq.studies.targets import check_target

PLAN = load_plan(Path(__file__).parents[2])
RUN = "preconditioning/baseline/seed0"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            f"results/smoke/runs/{RUN}/rollout.parquet",
            f"{RUN} has no rollout.parquet; it has fev",
        ),
        (f"results/smoke/runs/{RUN}/audit.parquet", f"{RUN} has no audit.parquet"),
        (f"results/smoke/runs/{RUN}/gift_eval_matched.parquet", f"{RUN} has no gift_eval_matched.parquet"),
        (
            "results/laptop/runs/equilibrium/wall/newton_seed0/audit.parquet",
            "no run is called 'equilibrium/wall/newton_seed0'; nearest: equilibrium/wall/",
        ),
        (
            "results/laptop/runs/equilibrium/wall/jacreg_seed0/audit.parquet",
            "has no audit.parquet",
        ),
        ("results/laptop/runs/zeta/models/baseline_seed0/gift_eval.parquet", "has no gift_eval.parquet"),
        (
            "results/laptop/runs/preconditioning/frozen/seasonal_naive/weights.safetensors",
            "preconditioning/frozen/seasonal_naive has no weights.safetensors",
        ),
        (
            "results/smoke/tables/preconditionin.parquet",
            "declares table 'preconditionin'; did you mean",
        ),
        ("results/smoke/tables/zeta.xlsx", "a table has no .xlsx; it has .parquet, .csv"),
        (
            "results/smoke/figures/zeta_sizes.svg",
            "declares figure 'zeta_sizes'; did you mean zeta_size",
        ),
        ("results/labtop/filters.parquet", "no scale is called 'labtop'; did you mean laptop?"),
        (
            "evaluate",
            "evaluate: is a rule that makes many results; ask for a result by its path",
        ),
        (str(Path("results/smoke/filters.parquet").resolve()), "ask for results/smoke/filters.parquet"),
    ],
)
def test_wrong_targets(target: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_target(PLAN, target, ["evaluate"])
    assert message in str(caught.value)


def test_right_targets() -> None:
    targets = [
        "all",
        "results/smoke/report/index.html",
        "results/smoke/filters.parquet",
        "downloads/fev/download.json",
    ]
    targets += [f"results/paper/tables/{name}.csv" for name in products("tables")]
    targets += [f"results/paper/figures/{name}.png" for name in products("figures")]
    for run, params in PLAN.runs("smoke").items():
        targets += [
            f"results/smoke/runs/{run}/{name}" for name in studies()[params["study"]].results(params, PLAN)
        ]
    for target in targets:
        check_target(PLAN, target, ["evaluate"])
