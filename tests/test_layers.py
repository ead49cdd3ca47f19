"""A package imports only from packages below it."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "specseq"
LAYERS: list[set[str]] = [
    {"errors", "seeding", "progress", "sources", "environment"},
    {"settings", "yaml_files"},
    {"tables", "sweeps"},
    {"filters", "series", "spectra"},
    {"training"},
    {"models", "zeros"},
    {"scoring", "equilibrium", "spacings"},
    {"report", "launch"},
    {"studies"},
    {"stages", "commands"},
    {"cli"},
]
LEVEL = {package: level for level, packages in enumerate(LAYERS) for package in packages}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "specseq":
                names = [f"specseq.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("specseq.")}
    return found


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downwards(path: Path) -> None:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    package = parts[0]
    if package == "__init__":
        return
    assert package in LEVEL, f"{package} belongs to no layer"
    for other in imports(path) - {package, "__version__"}:
        assert LEVEL[other] < LEVEL[package], (
            f"{path.name} in {package} imports {other}, which is not below it"
        )


@pytest.mark.parametrize("path", sorted((SOURCE / "stages").glob("*.py")), ids=lambda p: p.stem)
def test_stages_do_not_import_each_other(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("specseq.stages"):
            assert node.module == "specseq.stages.request"


def test_the_readme_lists_packages_from_the_top_layer_down() -> None:
    listed = re.findall(r"^src/specseq/(\w+)/", (SOURCE.parents[1] / "README.md").read_text(), re.MULTILINE)
    assert set(listed) == {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    levels = [LEVEL[package] for package in listed]
    assert levels == sorted(levels, reverse=True)


def test_no_file_of_code_is_longer_than_400_lines() -> None:
    root = SOURCE.parents[1]
    files = [
        file for place in ("src", "workflow", "tests", "benchmarks") for file in (root / place).rglob("*")
    ]
    lengths = {f: len(f.read_text().splitlines()) for f in files if f.suffix in (".py", ".smk", ".j2", ".js")}
    assert not {str(file): length for file, length in lengths.items() if length > 400}
