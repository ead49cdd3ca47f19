"""Where text comes from: embedded, synthetic, a local file or folder, or a file on the hub."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from specseq.equilibrium.text.docstrings import docstring_corpus
from specseq.equilibrium.text.grammar import ALPHABET, Automaton
from specseq.errors import InputError

SOURCES = ("docstrings", "grammar", "path", "hub")


def read_text(source: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The text of a source and what is known about it.

    Args:
        source: ``{"kind": "docstrings"}``; ``{"kind": "grammar", "seed", "characters", "states", "symbols",
            "concentration"}``; ``{"kind": "path", "path"}``, a text file or a folder of ``.txt`` files; or
            ``{"kind": "hub", "repo", "file", "revision"}``, which downloads from the Hugging Face hub.

    Raises:
        InputError: an unknown kind or key, a missing file, or a hub that cannot be reached.
    """
    options = dict(source)
    kind = options.pop("kind", None)
    if kind not in SOURCES:
        raise InputError("text.source.kind", f"unknown source {kind!r}", f"known are {', '.join(SOURCES)}")
    readers: dict[str, Callable[..., tuple[str, dict[str, Any]]]] = {
        "docstrings": _docstrings,
        "grammar": _grammar,
        "path": _path,
        "hub": _hub,
    }
    try:
        text, facts = readers[kind](**options)
    except TypeError as error:
        raise InputError(f"text.source of kind {kind}", str(error).split("() ")[-1]) from None
    if len(text) < 1000:
        raise InputError("text.source", f"{len(text)} characters are too few to train on")
    return text, {"source": {"kind": kind, **options}, **facts}


def _docstrings(shortest: int = 60) -> tuple[str, dict[str, Any]]:
    return docstring_corpus(shortest), {}


def _grammar(
    seed: int = 0,
    characters: int = 1_000_000,
    states: int = 32,
    symbols: int = 27,
    concentration: float = 0.15,
) -> tuple[str, dict[str, Any]]:
    if not 1 < symbols <= len(ALPHABET):
        raise InputError("text.source.symbols", f"{symbols} is not in 2..{len(ALPHABET)}")
    if states < 1:
        raise InputError("text.source.states", f"{states} is not a positive number")
    automaton = Automaton.draw(seed, states, symbols, concentration)
    return automaton.sample(characters, seed), {"entropy_nats": automaton.entropy()}


def _path(path: str) -> tuple[str, dict[str, Any]]:
    place = Path(path)
    files = sorted(place.rglob("*.txt")) if place.is_dir() else [place]
    if not files or not all(file.is_file() for file in files):
        raise InputError(place, "no text file there", "give a .txt file or a folder of them")
    try:
        return "\n\n".join(file.read_text(encoding="utf-8") for file in files), {"files": len(files)}
    except UnicodeDecodeError as error:
        raise InputError(place, f"not UTF-8 text ({error})", "convert it first") from None


def _hub(repo: str, file: str, revision: str | None = None) -> tuple[str, dict[str, Any]]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        local = hf_hub_download(repo, file, repo_type="dataset", revision=revision)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{repo}/{file}", f"cannot be downloaded ({reason})", "fetch it and use a source of kind path"
        ) from None
    return _path(local)
