"""The costs that the documentation states are those of the scales as they stand."""

import os
import re
from pathlib import Path

import pandas as pd
import pytest

from specseq.commands.cost import main
from specseq.studies.config import load_plan

ROOT = Path(__file__).parents[2]
SCALES = ["paper", "desk", "rehearsal"]
HOURS = ["gpu_hours", "evaluation_gpu_hours", "evaluation_cpu_hours"]
PLAN = load_plan(ROOT)


def recorded(scale: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / f"docs/costs/{scale}.csv", keep_default_na=False)


def shown() -> dict[str, list[str]]:
    """Rows of the tables in docs/slurm.md by their first cell."""
    section = (ROOT / "docs/slurm.md").read_text(encoding="utf-8").split("### The table")[1]
    lines = re.findall(r"^\| (.+) \|$", section.split("\n## ")[0], re.M)
    return {first: rest for first, *rest in (line.split(" | ") for line in lines)}


def rounded(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


@pytest.mark.parametrize("scale", SCALES)
def test_recorded_sweeps_runs_and_steps_are_those_of_the_plan(scale: str) -> None:
    runs = [(run.split("/"), params) for run, params in PLAN.runs(scale).items() if "training" in params]
    rows = [(study, sweep, params["training"]["steps"]) for (study, sweep, _), params in runs]
    declared = pd.DataFrame(rows, columns=["study", "sweep", "steps"]).groupby(["study", "sweep"])["steps"]
    table = recorded(scale).set_index(["study", "sweep"])
    every = table[table.index.get_level_values("sweep") != "*"]
    sweeps = every[every["runs"] > 0]
    assert set(every.index) == {tuple(run.split("/")[:2]) for run in PLAN.runs(scale)}
    assert sweeps["runs"].to_dict() == declared.size().to_dict(), "run specseq cost --csv again"
    assert sweeps["steps"].to_dict() == pytest.approx(declared.mean().to_dict(), rel=1e-3)
    for hours in HOURS:
        assert table.loc[("*", "*"), hours] == pytest.approx(every[hours].sum(), rel=1e-3)


def test_a_desk_takes_a_weekend_of_one_gpu() -> None:
    assert recorded("desk")["gpu_hours"].max() <= 60


def test_the_documentation_shows_what_is_recorded() -> None:
    page = shown()
    for row in recorded("paper").to_dict("records"):
        name = f"{row['study']}/{row['sweep']}" if row["sweep"] != "*" else f"**{row['study']}**"
        cells = page["**all**" if name == "***" or row["study"] == "*" else name]
        numbers = ("gib_per_step", "seconds_per_step", "gpu_hours", "host_cpu_hours", *HOURS[1:], "disk_gb")
        memory, seconds, *hours = (rounded(row[column]) for column in numbers)
        bound = row["bound"] or "-"
        assert cells == [str(row["runs"]), f"{row['steps']:.0f}", memory, seconds, bound, *hours]
    for scale in SCALES:
        rows = recorded(scale).query("sweep == '*'").set_index("study")
        of_training = rows.loc[["equilibrium", "preconditioning", "stu", "zeta", "*"], "gpu_hours"]
        of_evaluations = rows.loc["*", HOURS[1:]]
        assert page[f"`{scale}`"][1:] == [*map(rounded, of_training), *map(rounded, of_evaluations)]


@pytest.mark.rehearsal
@pytest.mark.skipif("SPECSEQ_REHEARSAL" not in os.environ, reason="SPECSEQ_REHEARSAL is not set")
@pytest.mark.parametrize("scale", SCALES)
def test_estimates_are_as_recorded(scale: str, tmp_path: Path) -> None:
    main(["--root", str(ROOT), "--scale", scale, "--gpu", "h100", "--csv", str(tmp_path / "cost.csv")])
    fresh, kept = pd.read_csv(tmp_path / "cost.csv"), recorded(scale)
    for hours in HOURS:
        assert fresh[hours].tolist() == pytest.approx(kept[hours].tolist(), rel=0.02)
