"""What runs, and what runs again: the DAG as snakemake plans it."""

import json
from typing import Any

import pytest

from tests.workflow.workspace import Workspace

RUN = "preconditioning/chebyshev/degree2_seed0"
RESULTS = f"results/smoke/runs/{RUN}"


def test_dry_run_reads_like_a_table_of_contents(workspace: Workspace) -> None:
    output = workspace.snakemake("--dry-run", "--config", "scale=smoke")
    for line in ("data: training series", f"pretrain: {RUN}", f"evaluate: {RUN} on gift_eval"):
        assert line in output
    assert not (workspace.folder / "results").exists(), "a dry run writes nothing"


def test_one_file_is_made_with_what_it_needs_and_no_more(workspace: Workspace) -> None:
    assert workspace.planned("results/smoke/filters.parquet") == {"design": 1}
    assert workspace.planned(f"{RESULTS}/pretrain.parquet") == {"prepare_lotsa": 1, "pretrain": 1}


def test_scales_do_not_mix(workspace: Workspace) -> None:
    output = workspace.snakemake("--dry-run", "results/paper/tables/preconditioning.parquet")
    assert "results/laptop" not in output
    assert "results/smoke" not in output


def set_key(*path: str, value: Any) -> Any:
    def change(config: dict[str, Any]) -> None:
        for key in path[:-1]:
            config = config.setdefault(key, {})
        config[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_key("scal", value="laptop"), "scal: unknown key; did you mean scale"),
        (set_key("scale", value="tiny"), "'tiny' is not among the scales"),
        (
            set_key("scales", "laptop", "studies", value={"preconditionig": {}}),
            "scales.laptop.studies.preconditionig: changes what is not there; did you mean preconditioning",
        ),
        (set_key("launcher", value="slrum"), "launcher: 'slrum' is unknown; did you mean slurm?"),
        (set_key("data", "min_length", value="long"), "data.min_length: 'long' is not a whole number"),
        (
            set_key("studies", "preconditioning", "base", "seed", value=-1),
            "seed: -1 is not at least 0",
        ),
        (set_key("filters", "mine", value={"famly": "x"}), "filters.mine.family: is missing"),
    ],
)
def test_a_faulty_config_is_one_clear_line(workspace: Workspace, change: Any, message: str) -> None:
    workspace.edit(change)
    output = workspace.snakemake("--dry-run", check=False)
    lines = [line for line in output.splitlines() if "config.yaml: " in line]
    assert len(lines) == 1, output
    assert message in lines[0]
    assert "Traceback (most" not in output


@pytest.mark.parametrize("name", ["claims.yaml", "page.yaml"])
def test_a_fault_in_a_file_that_is_read_last_is_one_clear_line(workspace: Workspace, name: str) -> None:
    path = workspace.folder / "workflow/studies/zeta" / name
    path.write_text(path.read_text().replace("title:", "titel:", 1))
    output = workspace.snakemake("--dry-run", check=False)
    assert f"workflow/studies/zeta/{name}: titel: unknown key; did you mean title?" in output
    assert "InputFunctionException" not in output
    assert "dry-run" in workspace.snakemake("--dry-run", "results/smoke/filters.parquet")


def test_an_unknown_run_names_the_nearest(workspace: Workspace) -> None:
    output = workspace.snakemake("--dry-run", f"{RESULTS}9/pretrain.parquet", check=False)
    assert f"no run is called '{RUN}9'; nearest: {RUN}" in output
    assert "Traceback (most" not in output


def test_with_partial_a_study_without_runs_withholds_nothing(workspace: Workspace) -> None:
    planned = workspace.planned("results/smoke/report/index.html", config=["scale=smoke", "partial=true"])
    assert planned == {"claims": 1, "figure": 1, "report_page": 1}, "the figure of zeta_masks needs no run"
    refused = workspace.snakemake("--dry-run", "--config", "partial=yes", check=False)
    assert "--config: partial: 'yes' is not true or false" in refused


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            f"results/smoke/runs/{RUN}/audit.parquet",
            f"{RUN} has no audit.parquet; it has",
        ),
        (
            "results/bare/equilibrium_mechanisms.parquet",
            "studies.equilibrium: has no section 'mechanisms'",
        ),
        (
            "results/smoke/report/index.htm",
            "results/smoke/report/index.htm: no rule makes it; did you mean results/smoke/report/index.html?",
        ),
        ("pretrian", "pretrian: no rule makes it; did you mean pretrain"),
        ("downloads/lotsa/download.json", "config.yaml: downloads: has no section 'lotsa'"),
    ],
)
def test_results_that_the_config_does_not_declare_are_one_clear_line(
    workspace: Workspace, target: str, message: str
) -> None:
    def change(config: dict[str, Any]) -> None:
        config.pop("downloads")
        config["scales"] = {"bare": {"studies": {"equilibrium": {"mechanisms": None}}}}

    workspace.edit(change)
    output = workspace.snakemake("--dry-run", target, check=False)
    assert message in output
    assert "Traceback (most" not in output


@pytest.mark.slow
class TestFinished:
    """On a finished smoke scale, of which there is one: these tests run in one process."""

    def test_nothing_is_left_to_do(self, finished: Workspace) -> None:
        assert finished.planned("results/smoke/report/index.html") == {}

    def test_touching_a_source_file_reruns_nothing(self, finished: Workspace) -> None:
        for path in (finished.folder / "src" / "specseq" / "filters").glob("*.py"):
            path.touch()
        assert finished.planned("results/smoke/report/index.html") == {}

    def test_editing_one_value_of_one_run_reruns_what_depends_on_it(self, finished: Workspace) -> None:
        original = (finished.folder / "config.yaml").read_text()
        path = ("studies", "preconditioning", "sweeps", "chebyshev", "base", "training", "lr")
        try:
            finished.edit(set_key(*path, value=0.5))
            planned = finished.planned("results/smoke/report/index.html")
        finally:
            (finished.folder / "config.yaml").write_text(original)
        assert planned["pretrain"] == 1
        assert planned["evaluate"] == 1
        assert planned["table"] >= 1
        assert planned["claims"] == 1
        assert not {"prepare_lotsa", "prepare_gift_eval", "design", "zeros"} & set(planned)

    def test_a_changed_evaluation_trains_nothing_again(self, finished: Workspace) -> None:
        original = (finished.folder / "config.yaml").read_text()
        try:
            finished.edit(
                set_key("studies", "preconditioning", "base", "evaluation", "reversals", value=["self"])
            )
            planned = finished.planned("results/smoke/report/index.html")
        finally:
            (finished.folder / "config.yaml").write_text(original)
        assert "pretrain" not in planned
        assert planned["evaluate"] >= 1

    def test_editing_code_reruns_what_it_decides(self, finished: Workspace) -> None:
        path = finished.folder / "src" / "specseq" / "stages" / "design.py"
        original = path.read_text()
        try:
            path.write_text(original + "\n# a change\n")
            planned = finished.planned("results/smoke/tables/preconditioning_theory.parquet")
        finally:
            path.write_text(original)
        assert planned["design"] == 1
        assert "pretrain" not in planned

    def test_where_training_runs_changes_no_result(self, finished: Workspace) -> None:
        assert finished.planned("results/smoke/report/index.html", config=["launcher=local"]) == {}

    @pytest.mark.parametrize("stage", ["audit", "design", "evaluate", "mechanisms", "residuals", "rollout"])
    def test_a_stage_that_resumes_has_a_folder_for_each_result(self, stage: str, finished: Workspace) -> None:
        owners: dict[str, str] = {}
        for path in (finished.folder / "results/smoke/requests" / stage).glob("*.json"):
            request = json.loads(path.read_text())
            result = request.get("out") or request["verdicts"]
            assert owners.setdefault(request["parts"], result) == result
        assert owners
        assert not [folder for folder in owners if (finished.folder / folder).exists()]
