"""Text available on every machine: documentation strings and help topics of the standard library."""

import ast
import importlib
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from specseq.errors import InputError
from specseq.seeding import generator

_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__"}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstring_corpus(shortest: int = 60) -> str:
    """Docstrings of more than ``shortest`` characters and all help topics, in a fixed shuffled order.

    Duplicates are dropped, and anything but printable ASCII and line ends becomes a blank. The text depends
    on the version of Python, so its users record its checksum.
    """
    library = Path(sysconfig.get_paths()["stdlib"])
    found = [text for path in _modules(library) for text in _docstrings(path) if len(text) > shortest]
    topics = importlib.import_module("pydoc_data.topics").topics
    found += [topics[name] for name in sorted(topics)]
    unique = list(dict.fromkeys(found))
    if len(unique) < 100:
        raise InputError(
            library, f"only {len(unique)} documentation strings", "use a Python with its sources, or a path"
        )
    order = generator(0, "docstrings").permutation(np.arange(len(unique)))
    text = "\n\n".join(unique[index] for index in order)
    return "".join(mark if mark == "\n" or " " <= mark <= "~" else " " for mark in text)


def _modules(library: Path) -> Iterator[Path]:
    for path in sorted(library.rglob("*.py")):
        if not _SKIPPED & set(path.relative_to(library).parts):
            yield path


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return  # deliberately broken sources ship with the library
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node)):
            yield text
