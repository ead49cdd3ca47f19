"""Studies are found by their folders, also outside the package, and declare what exists."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from specseq.sources import module_file
from specseq.studies import maker, products, studies

SRC = Path(__file__).parents[2] / "src"
TOY = """
from specseq.studies.interface import Study, Table
STUDY = Study(name="toy", build=".training:build", data={}, results=lambda params, plan: set(), run=dict,
              tables={"toy": Table(".tables:make", lambda results: {})})
"""


def test_a_study_of_ones_own_is_found_on_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "specseq/studies/toy"
    folder.mkdir(parents=True)
    (folder / "study.py").write_text(TOY)
    (folder / "tables.py").write_text("def make(inputs, params):\n    return 'made'\n")
    program = (
        "from specseq.studies import maker, studies\n"
        "from specseq.sources import module_file, source_digest\n"
        "file = module_file(studies()['toy'].module('.tables:make'))\n"
        "print(*sorted(studies()), maker('tables', 'toy')({}, {}), len(source_digest(file)), file)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{SRC}:{tmp_path}"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    expected = f"equilibrium preconditioning stu toy zeta made 16 {folder / 'tables.py'}\n"
    assert (done.stdout, done.stderr) == (expected, "")


def test_another_checkout_on_the_path_adds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "specseq/studies/toy"
    folder.mkdir(parents=True)
    (tmp_path / "specseq/__init__.py").touch()
    (folder / "study.py").write_text(TOY)
    program = "from specseq.studies import studies; print(*sorted(studies()))"
    environment = {**os.environ, "PYTHONPATH": f"{SRC}:{tmp_path}"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.stdout == "equilibrium preconditioning stu zeta\n"


@pytest.mark.parametrize("name", studies())
def test_what_a_study_declares_exists(name: str) -> None:
    study = studies()[name]
    for reference in (study.build, *(made.make for made in {**study.tables, **study.figures}.values())):
        assert module_file(study.module(reference)).is_file()
    for kind in ("tables", "figures"):
        for made in getattr(study, kind):
            assert made.partition("_")[0] == name
            assert callable(maker(kind, made))


def test_planning_imports_nothing_heavy() -> None:
    program = (
        "import sys, specseq.studies.config, specseq.studies.planning\n"
        "from specseq.studies import studies; studies()\n"
        "print(*{'torch', 'pandas', 'pyarrow', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_names_are_unique() -> None:
    for kind in ("tables", "figures"):
        assert len(products(kind)) == sum(len(getattr(study, kind)) for study in studies().values())
