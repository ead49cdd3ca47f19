"""The examples of the documentation work as printed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from specseq.errors import InputError
from specseq.report.claims import ledger, load
from specseq.studies.config import load_plan
from specseq.studies.planning import Planning
from specseq.studies.preconditioning import checks
from specseq.sweeps.merge import merge
from tests.documented import ROOT, apply_changes, blocks, path_of, write_files

PAGE = "docs/extending.md"
ADDED_RUNS = {
    PAGE: "preconditioning/my_strides/stride4_degree1_seed0",
    "README.md": "preconditioning/stride/stride4_degree2_seed0",
}
# What holds once the changes of the page are made.
CHANGED = """
import pandas as pd
from specseq.filters import design
from specseq.scoring.gift_eval import METRICS
from specseq.scoring.submissions import GIFT_EVAL
from specseq.studies import maker, studies

assert design({"family": "binomial", "degree": 2}).taps == (-1.0, 0.25)
assert METRICS["steps"]({"observed": 5.0}) == 5.0
assert GIFT_EVAL.metrics["steps"] == "eval_metrics/steps"
pd.DataFrame({"run": ["a", "a", "b"]}).to_parquet("long.parquet")
assert maker("tables", "zeta_runs")({"long": ["long.parquet"]}, {})["rows"].tolist() == [2, 1]
"""


def test_python_examples_run_one_after_the_other() -> None:
    names: dict[str, Any] = {"__name__": "examples"}
    sys.modules["examples"] = type(sys)("examples")
    for block in blocks(PAGE, "python"):
        if not path_of(block):
            exec(compile(block, PAGE, "exec"), names)
    assert {"filtered", "Resting"} <= names.keys()


def test_changes_of_the_package_work(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    apply_changes(PAGE, tmp_path)
    for command in (["-c", CHANGED], ["-m", "specseq.cli", "design", "binomial", "--degree", "3"]):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path / "src")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def config_examples(page: str) -> list[str]:
    found = [block for block in blocks(page, "yaml") if not path_of(block) and "claims:" not in block]
    assert found
    return found


@pytest.mark.parametrize("page", ADDED_RUNS)
@pytest.mark.parametrize("way", ["appended", "configfile", "inside"])
def test_config_examples_are_planned(page: str, way: str, tmp_path: Path) -> None:
    """At the end of config.yaml, as a file of their own, and in the study's own file."""
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    shutil.copy(ROOT / "config.yaml", tmp_path)
    before = set(load_plan(tmp_path).runs("smoke"))
    examples = "\n".join(config_examples(page))
    if way == "appended":
        with (tmp_path / "config.yaml").open("a") as config:
            config.write(f"\n{examples}")
    elif way == "inside":
        for study, content in merge(*map(yaml.safe_load, config_examples(page))).get("studies", {}).items():
            path = tmp_path / "workflow/studies" / study / "sweeps.yaml"
            path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), content), sort_keys=False))
    else:
        merged = merge(*map(yaml.safe_load, config_examples(page)))
        (tmp_path / "more.yaml").write_text(yaml.safe_dump(merged, sort_keys=False))
    files = [tmp_path / "more.yaml"] if way == "configfile" else []
    runs = set(load_plan(tmp_path, files).runs("smoke"))
    assert before < runs
    assert ADDED_RUNS[page] in runs


def test_the_larger_spectral_model_is_planned(tmp_path: Path) -> None:
    [block] = [block for block in blocks(ROOT / "docs/zeta.md", "yaml") if "beyond" in block]
    (tmp_path / "beyond.yaml").write_text(block)
    plan = load_plan(ROOT, [tmp_path / "beyond.yaml"])
    run = plan.run("laptop", "zeta/beyond/spectral_seed0")
    assert (run["model"]["length"], run["model"]["width"], run["training"]["steps"]) == (256, 64, 6000)
    assert plan.data("laptop")["zeros"] == {"index": 177389452, "count": 4000000}


def test_memory_is_rolled_out_in_three_ways_as_described(tmp_path: Path) -> None:
    [block] = [block for block in blocks(ROOT / "docs/zeta.md", "yaml") if "rollout" in block]
    (tmp_path / "memory.yaml").write_text(block)
    run = load_plan(ROOT, [tmp_path / "memory.yaml"]).run("laptop", "zeta/models/memory_causal_seed0")
    assert run == {
        **load_plan(ROOT).run("laptop", "zeta/models/memory_causal_seed0"),
        "rollout": {"memory": ["kept", "zeroed", "faded"]},
    }


def test_zeros_come_from_files_as_described(tmp_path: Path) -> None:
    text = (ROOT / "docs/zeta.md").read_text(encoding="utf-8")
    [word] = [word.replace("DIR", str(tmp_path)) for word in re.findall(r'"(data={zeros[^"]*)"', text)]
    plan = load_plan(ROOT, words=[word])
    assert plan.data("smoke")["zeros"] == {"platt": str(tmp_path), "index": 1, "count": 4520}
    assert Planning(plan).sources.zeros_own("smoke") == [str(tmp_path)]


def test_runs_begin_from_a_checkpoint_as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = blocks(ROOT / "docs/checkpoints.md", "yaml")
    (tmp_path / "tuned.yaml").write_text(block)
    plan = load_plan(ROOT, [tmp_path / "tuned.yaml"])
    run = "preconditioning/tuned/degree4_seed0"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there is no file or folder 'moirai2-small'"):
        Planning(plan).training_inputs("laptop", run)
    (tmp_path / "moirai2-small").mkdir()
    with pytest.raises(InputError, match="'moirai2-small' holds no weights"):
        Planning(plan).training_inputs("laptop", run)
    (tmp_path / "moirai2-small/weights.safetensors").touch()
    assert Planning(plan).training_inputs("laptop", run)["initial"] == "moirai2-small/weights.safetensors"
    (tmp_path / "hub.yaml").write_text(block.replace("moirai2-small", "Salesforce/moirai-2.0-R-small"))
    hub = Planning(load_plan(ROOT, [tmp_path / "hub.yaml"]))
    assert "initial" not in hub.training_inputs("laptop", run)


def test_chronos2_joins_as_described(tmp_path: Path) -> None:
    text = (ROOT / "docs/preconditioning.md").read_text(encoding="utf-8")
    words = [word.replace("DIR", str(tmp_path)) for word in re.findall(r'"((?:studies|data)=[^"]*)"', text)]
    runs = load_plan(ROOT, words=words).runs("laptop")
    assert runs["preconditioning/frozen/chronos2"]["forecaster"] == {"name": str(tmp_path)}


def test_scale_example_is_planned(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    shutil.copy(ROOT / "config.yaml", tmp_path)
    write_files(PAGE, tmp_path, "scales/")
    runs = load_plan(tmp_path).runs("tiny")
    baselines = {run: params for run, params in runs.items() if run.startswith("preconditioning/")}
    assert [params["training"]["steps"] for params in baselines.values()] == [2]


def test_claim_example_is_judged(tmp_path: Path) -> None:
    [example] = [block for block in blocks(PAGE, "yaml") if "claims:" in block]
    path = tmp_path / "claims.yaml"
    path.write_text('note: "000"\ntitle: Example\nsource: example\n' + example)
    [entry] = ledger(load([path], [checks]), tmp_path, "laptop")
    assert entry.verdict == "reproduced"


@pytest.mark.parametrize(
    "path", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("workflow/**/*.md")]
)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{path.name} links to {target}, which is not there"


def test_the_map_of_the_repository_is_true() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [tree] = re.findall(r"^## Where things are\n.*?^```\n(.*?)^```", text, re.S | re.M)
    named = {line.split()[0].rstrip("/") for line in tree.splitlines() if line and not line.startswith(" ")}
    for place in named:
        assert list(ROOT.glob(place.replace("<study>", "*").replace("<scale>", "*"))), place
    packages = {f"src/specseq/{path.parent.name}" for path in ROOT.glob("src/specseq/*/__init__.py")}
    assert packages <= named
