"""config.yaml as a whole."""

import json
import shutil
from pathlib import Path

import pytest

from specseq.studies import studies
from specseq.studies.config import load_plan
from tests.workflow.workspace import Workspace

PLAN = load_plan(Path(__file__).parents[2])


@pytest.mark.parametrize("study", sorted(PLAN.study_names))
@pytest.mark.parametrize("scale", sorted(PLAN.scales))
def test_nothing_is_trained_twice(scale: str, study: str) -> None:
    seen: dict[str, str] = {}
    for run, spec in PLAN.study_runs(scale, study).items():
        if "training" in spec:
            decisive = json.dumps(studies()[study].training_params(spec), sort_keys=True)
            assert seen.setdefault(decisive, run) == run


def test_data_that_change_in_place_are_made_again_and_spellings_are_one(workspace: Workspace) -> None:
    text, target = workspace.folder / "my.txt", "results/smoke/data/text/manifest.json"
    text.write_text("the quick brown fox " * 2000)

    def planned(path: str) -> dict[str, int]:
        return workspace.planned(target, config=[f"data={{text: {{source: {{kind: path, path: {path}}}}}}}"])

    chosen = "data={text: {source: {kind: path, path: my.txt}}}"
    workspace.snakemake("--config", chosen, "--", target)
    assert planned("my.txt") == planned("./my.txt") == planned(str(text)) == {}
    text.write_text("the quick brown cat " * 2000)
    assert planned("my.txt") == {"text": 1}


def test_folders_of_ones_own_are_read(workspace: Workspace) -> None:
    manifest = "results/smoke/data/gift_eval/manifest.json"
    workspace.snakemake("--", manifest)
    own = workspace.folder / "own"
    (workspace.folder / "results/smoke/data/gift_eval/sets").rename(own)
    chosen = [f"data={{gift_eval: {own}}}"]
    workspace.snakemake("--config", *chosen, "--", manifest)
    assert workspace.planned(manifest, config=["data={gift_eval: own/}"]) == {}
    shutil.copytree(own / "sunspots", own / "nile", dirs_exist_ok=True)
    assert workspace.planned(manifest, config=chosen) == {"prepare_gift_eval": 1}


def test_what_is_not_there_is_refused_when_the_plan_is_read(workspace: Workspace) -> None:
    output = workspace.snakemake(
        "--dry-run",
        "--config",
        "data={lotsa: no/such/lotsa}",
        "--",
        "results/smoke/filters.parquet",
        check=False,
    )
    assert "--config: data.lotsa: there is no folder 'no/such/lotsa', nor 'no/such'" in output
    output = workspace.snakemake("--dry-run", "--", "results/smoke/tables/zetta.parquet", check=False)
    assert "results/smoke/tables/zetta.parquet: no study declares table 'zetta'; did you mean zeta" in output
    output = workspace.snakemake("--dry-run", "--", "evaluate", check=False)
    assert "evaluate: is a rule that makes many results; ask for a result by its path" in output


def test_a_misspelt_forecaster_is_known_before_anything_runs(workspace: Workspace) -> None:
    sweeps = workspace.folder / "workflow/studies/preconditioning/sweeps.yaml"
    sweeps.write_text(sweeps.read_text().replace("{name: chronos2}", "{name: chronos3}"))
    output = workspace.snakemake(
        "--dry-run", "--", "results/paper/tables/preconditioning.parquet", check=False
    )
    assert (
        "forecaster.name: chronos3: no such forecaster, folder or weights file; did you mean chronos2"
        in output
    )


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("data={min_length: 30}", ""),
        ("data={min_length: thirty}", "--config: data.min_length: 'thirty' is not a whole number"),
        ("data={fev: null}", ""),
        ("partial=true", ""),
        ("slurm={time: 12:00:00}", ""),
        ("slurm={tyme: 3}", "--config: slurm.tyme: unknown key; did you mean time?"),
    ],
)
def test_values_of_the_command_line(workspace: Workspace, words: str, fault: str) -> None:
    target = "results/smoke/filters.parquet"
    output = workspace.snakemake("--dry-run", "--config", words, "--", target, check=not fault)
    assert fault in output
