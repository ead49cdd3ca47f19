"""Where text comes from: embedded, synthetic, or a local file or folder."""

from pathlib import Path
from typing import Any

from specseq.equilibrium.text.config import Docstrings, Grammar, LocalText
from specseq.equilibrium.text.docstrings import docstring_corpus
from specseq.equilibrium.text.grammar import Automaton
from specseq.errors import InputError
from specseq.settings import plain


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
