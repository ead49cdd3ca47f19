"""A study of one's own: a folder of code and a folder of sweeps; no file of the package is touched."""

from pathlib import Path

import yaml

from specseq.tables import read_parquet
from tests.workflow.workspace import Workspace

STUDY = '''
"""A toy: one number is learned."""

from specseq.settings import STRICT, Field, dataclass
from specseq.studies.interface import Study, Table
from specseq.training.settings import TrainingSettings


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ToyRun:
    study: str
    seed: int
    target: float = Field(ge=0, description="the number")
    training: TrainingSettings


STUDY = Study(
    name="toy",
    run=ToyRun,
    build=".training:build",
    data={},
    results=lambda params, plan: {"weights.safetensors", "pretrain.parquet"},
    tables={"toy": Table(".tables:losses", lambda results: {"runs": results.of_runs("pretrain.parquet")})},
    needed=lambda results: [results.of_runs("pretrain.parquet")],
)
'''
TRAINING = """
import itertools

import torch
from torch import nn

from specseq.training.task import Task


class Ones:
    def __next__(self):
        return {"x": torch.ones(1, 1)}

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def build(params, inputs):
    def loss(network, batch):
        return (network(batch["x"]) - params["target"]).square().mean(), {}

    return Task(nn.Linear(1, 1), Ones(), loss)
"""
TABLES = '''
import pandas as pd

from specseq.tables import read_parquet


def losses(inputs, params):
    """The last loss of each run."""
    rows = pd.concat(map(read_parquet, inputs["runs"]))
    return rows[rows["metric"] == "loss"].groupby("run", as_index=False).last()[["run", "value"]]
'''
SWEEPS = {
    "base": {"seed": 0, "training": {"steps": 2, "batch": 1, "lr": 0.1, "warmup": 0, "checkpoint_every": 2}},
    "sweeps": {"first": {"over": {"target": [1, 2]}}},
}
TABLE = "results/smoke/tables/toy.parquet"


def add_study(folder: Path) -> None:
    """What a reader of docs/extending.md writes."""
    code = folder / "own/specseq/studies/toy"
    code.mkdir(parents=True)
    (code / "__init__.py").touch()
    for name, text in (("study", STUDY), ("training", TRAINING), ("tables", TABLES)):
        (code / f"{name}.py").write_text(text)
    runs = folder / "workflow/studies/toy"
    runs.mkdir()
    (runs / "sweeps.yaml").write_text(yaml.safe_dump(SWEEPS))


def test_a_toy_study_runs_through_the_workflow(workspace: Workspace) -> None:
    add_study(workspace.folder)
    assert workspace.planned(TABLE) == {"pretrain": 2, "table": 1}
    workspace.snakemake("--", TABLE)
    table = read_parquet(workspace.folder / TABLE)
    assert table["run"].tolist() == ["toy/first/target1", "toy/first/target2"]
    assert table["value"].notna().all()
    assert workspace.planned(TABLE) == {}

    code = workspace.folder / "own/specseq/studies/toy"
    (code / "tables.py").write_text(TABLES.replace("last loss", "final loss"))
    assert workspace.planned(TABLE) == {"table": 1}
    (code / "training.py").write_text(TRAINING.replace("import itertools\n", ""))
    assert workspace.planned(TABLE) == {"pretrain": 2, "table": 1}


def test_a_mistake_in_its_sweeps_is_one_line(workspace: Workspace) -> None:
    add_study(workspace.folder)
    sweeps = {**SWEEPS, "base": {**SWEEPS["base"], "traget": 1}}
    (workspace.folder / "workflow/studies/toy/sweeps.yaml").write_text(yaml.safe_dump(sweeps))
    output = workspace.snakemake("--dry-run", "--", TABLE, check=False)
    (line,) = [line for line in output.splitlines() if "traget" in line]
    assert "unknown key; did you mean target?" in line
