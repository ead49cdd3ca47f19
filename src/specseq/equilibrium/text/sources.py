"""Where text comes from: embedded, synthetic, a local file or folder, or a file on the hub."""

from pathlib import Path
from typing import Any

from specseq.equilibrium.text.config import Docstrings, Grammar, HubText, LocalText
from specseq.equilibrium.text.docstrings import docstring_corpus
from specseq.equilibrium.text.grammar import Automaton
from specseq.errors import InputError
from specseq.settings import plain


def read_text(source: Docstrings | Grammar | LocalText | HubText) -> tuple[str, dict[str, Any]]:
    """The text of a source and what is known about it, with the source itself under ``source``.

    Raises:
        InputError: a missing file, one that is not UTF-8, a hub that cannot be reached, or too little text.
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
        case HubText():
            text, facts = _hub(source)
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


def _hub(source: HubText) -> tuple[str, dict[str, Any]]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        local = hf_hub_download(source.repo, source.file, repo_type="dataset", revision=source.revision)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{source.repo}/{source.file}",
            f"cannot be downloaded ({reason})",
            "fetch it and use a source of kind path",
        ) from None
    return _local(local)
