"""Corpora on disk: ``tokens.npy``, read through a memory map, and ``manifest.json``, which describes it."""

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specseq.equilibrium.text.config import TextSettings, TokenFiles
from specseq.equilibrium.text.sources import read_text
from specseq.equilibrium.text.tokenise import Tokens, context_entropies, tokenise
from specseq.equilibrium.text.tokens import read_tokens
from specseq.errors import InputError
from specseq.settings import plain
from specseq.tables.files import atomic_path, write_text

_COUNTED = 20_000_000  # tokens used for context entropies; sorting more would take gigabytes


def prepare_text(folder: str | os.PathLike[str], settings: TextSettings) -> dict[str, Any]:
    """Make a corpus in ``folder``; returns its manifest.

    Args:
        folder: where ``tokens.npy`` and ``manifest.json`` go; the manifest is written last.

    Raises:
        InputError: the text cannot be read, or cannot be tokenised this way.
    """
    train: int | None = None
    facts: dict[str, Any] = {"source": plain(settings.source)}
    if isinstance(settings.source, TokenFiles):
        tokens, train, tokeniser = read_tokens(Path(settings.source.path))
    else:
        text, facts = read_text(settings.source)
        tokens, tokeniser = tokenise(text, settings.tokeniser)
        facts |= {"characters": len(text), "text_sha256": hashlib.sha256(text.encode()).hexdigest()}
    if train is None:
        train = int(len(tokens) * (1 - settings.valid_share))
    manifest = {
        **facts,
        "tokens": len(tokens),
        "train_tokens": train,
        "tokens_sha256": hashlib.sha256(tokens.tobytes()).hexdigest(),
        "context_entropies_nats": context_entropies(tokens[:_COUNTED]),
        "context_entropies_tokens": min(len(tokens), _COUNTED),
        "tokeniser": tokeniser,
        "python": platform.python_version(),
    }
    place = Path(folder)
    with atomic_path(place / "tokens.npy") as path, path.open("wb") as handle:
        np.save(handle, tokens)
    write_text(place / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return manifest


def corpus_folder(place: str | os.PathLike[str]) -> Path:
    """The folder of a corpus that is named by it or by one of its files."""
    return Path(place) if Path(place).is_dir() else Path(place).parent


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus: the first part trains, the rest validates.

    Attributes:
        valid: tokens held out, from the end of the text.
    """

    train: Tokens
    valid: Tokens
    manifest: dict[str, Any]

    @property
    def vocabulary(self) -> int:
        """Number of symbols."""
        return int(self.manifest["tokeniser"]["vocabulary"])

    @classmethod
    def open(cls, place: str | os.PathLike[str]) -> "Corpus":
        """Open a corpus by its folder or one of its files.

        Raises:
            InputError: there is no corpus, or its tokens do not match its manifest.
        """
        if not Path(place).exists():
            raise InputError(place, "no such folder", "make it with the stage 'text'")
        folder = corpus_folder(place)
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            tokens = np.load(folder / "tokens.npy", mmap_mode="r")
            train, length, checksum = (manifest[k] for k in ("train_tokens", "tokens", "tokens_sha256"))
            vocabulary = manifest["tokeniser"]["vocabulary"]
            if not 0 <= int(train) <= int(length) or not isinstance(tokens, np.ndarray):
                raise ValueError(f"{train} of {length} tokens train")
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise InputError(folder, f"no prepared text ({error})", "make it with the stage 'text'") from None
        whole = tokens.shape == (length,) and tokens.dtype == np.uint16
        whole = whole and int(tokens.max(initial=0)) < vocabulary
        if not whole or hashlib.sha256(tokens.data).hexdigest() != checksum:
            raise InputError(folder, "the tokens are not those of the manifest", "prepare the text again")
        return cls(tokens[:train], tokens[train:], manifest)
