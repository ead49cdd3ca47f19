"""A room imports only from rooms below it."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "specseq"
FLOORS: list[set[str]] = [
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
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


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
    room = parts[0]
    if room == "__init__":
        return
    assert room in LEVEL, f"{room} stands on no floor"
    for other in imports(path) - {room, "__version__"}:
        assert LEVEL[other] < LEVEL[room], f"{path.name} in {room} imports {other}, which is not below it"


@pytest.mark.parametrize("path", sorted((SOURCE / "stages").glob("*.py")), ids=lambda p: p.stem)
def test_stages_do_not_import_each_other(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("specseq.stages"):
            assert node.module == "specseq.stages.request"
