"""The examples of the documentation work as printed."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from specseq.report.claims import ledger, load
from specseq.studies.config import load_plan
from specseq.studies.preconditioning import checks
from specseq.sweeps.merge import merge

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.S | re.M)


def test_python_examples_run_one_after_the_other() -> None:
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "docs/extending.md", "exec"), names)
    assert "filtered" in names


def test_config_examples_are_planned(tmp_path: Path) -> None:
    examples = [yaml.safe_load(block) for block in blocks("yaml")]
    extended = merge(*(example for example in examples if "claims" not in example))
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(extended, sort_keys=False))
    runs = load_plan(ROOT, [tmp_path / "more.yaml"]).runs("smoke")
    assert "preconditioning/my_strides/stride4_degree1_seed0" in runs


def test_claim_example_is_judged(tmp_path: Path) -> None:
    [example] = [block for block in blocks("yaml") if "claims:" in block]
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
