"""Where text comes from: documentation strings of the standard library, a grammar, a local file or folder."""

import ast
import importlib
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from specseq.equilibrium.text.config import Docstrings, Grammar, LocalText
from specseq.equilibrium.text.grammar import Automaton
from specseq.errors import InputError
from specseq.seeding import generator
from specseq.settings import plain

_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__"}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def read_text(source: Docstrings | Grammar | LocalText) -> tuple[str, dict[str, Any]]:
    """The text of a source and its description, with the source itself under ``source``.

    Raises:
        InputError: a missing file, one that is not UTF-8, or too little text.
    """
    match source:
        case Docstrings():
            text, facts = docstring_corpus(source.shortest), {}
        case Grammar():
            automaton = Automaton.draw(source.seed, source.states, source.symbols, source.concentration)
            text, facts = (
                automaton.sample(source.characters, source.seed),
                {"entropy_nats": automaton.entropy()},
            )
        case LocalText():
            text, facts = _local(source.path)
    if len(text) < 1000:
        raise InputError("text.source", f"{len(text)} characters are too few to train on")
    return text, {"source": plain(source), **facts}


def _local(path: str) -> tuple[str, dict[str, Any]]:
    place = Path(path)
    files = sorted(place.rglob("*.txt")) if place.is_dir() else [place]
    if not files or not all(file.is_file() for file in files):
        raise InputError(place, "no text file there", "give a .txt file or a folder of them")
    try:
        return "\n\n".join(file.read_text(encoding="utf-8") for file in files), {"files": len(files)}
    except UnicodeDecodeError as error:
        raise InputError(place, f"not UTF-8 text ({error})", "convert it first") from None


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
        fault = f"only {len(unique)} documentation strings"
        raise InputError(library, fault, "use a Python with its sources, or a path")
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
