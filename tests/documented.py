"""What the documentation prints, as a reader would use it: blocks, files, and additions to files."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def path_of(block: str) -> str:
    """The path in the first line of a block that is a file; empty for any other."""
    found = re.match(r"# (\S+/\S+\.(?:py|yaml))\n", block)
    return found[1] if found else ""


def write_files(page: str, folder: Path, containing: str) -> None:
    """Write the files that a page prints and whose path contains a word."""
    for block in [*blocks(page, "python"), *blocks(page, "yaml")]:
        if containing in (path := path_of(block)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(block, encoding="utf-8")


def apply_changes(page: str, folder: Path) -> None:
    """Make the changes that a page prints as differences; a line without a sign says where."""
    for block in blocks(page, "diff"):
        for file in block.removeprefix("--- ").split("\n--- "):
            path, *hunks = re.split(r"\n@@\n", file.rstrip("\n"))
            for hunk in hunks:
                _apply(folder / path, hunk.splitlines())


def _apply(path: Path, hunk: list[str]) -> None:
    text = path.read_text(encoding="utf-8")
    before, after = ("\n".join(line[1:] for line in hunk if line[:1] in kept) for kept in ("- ", "+ "))
    assert text.count(before) == 1, f"{path} does not hold once:\n{before}"
    path.write_text(text.replace(before, after), encoding="utf-8")
