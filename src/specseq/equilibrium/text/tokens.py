"""Tokens made by another program with its own tokeniser, read as a corpus.

A folder holds ``train.bin`` (16-bit unsigned numbers, little-endian, nothing else) or ``train.npy`` (one axis
of whole numbers), perhaps ``val.bin``, ``valid.bin`` or the like in ``.npy`` for the held-out part, and
either ``tokenizer.json`` of the library ``tokenizers`` or ``meta.json`` with ``vocab_size``. Pickle files are
not read.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.equilibrium.text.tokenise import Tokens
from specseq.errors import InputError

LARGEST = 1 << 16  # symbols that 16 bits can represent
FEWEST = 1000  # tokens to train on
_VALID = ("val", "valid", "validation")


def read_tokens(folder: Path) -> tuple[Tokens, int | None, dict[str, Any]]:
    """The tokens of a folder.

    Returns:
        All tokens, the number of training tokens (None if the folder does not say), and the tokeniser as
        plain values.

    Raises:
        InputError: a file is missing or damaged, or a token lies outside the vocabulary.
    """
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "give a folder with train.bin and tokenizer.json")
    tokeniser = _tokeniser(folder)
    vocabulary = int(tokeniser["vocabulary"])
    train = _read(folder, ("train",), vocabulary)
    if train is None:
        raise InputError(folder, "no train.bin or train.npy there", "name the tokens so")
    if len(train) < FEWEST:
        raise InputError(folder, f"{len(train)} tokens are too few to train on", "use a longer text")
    valid = _read(folder, _VALID, vocabulary)
    return (
        (train, None, tokeniser) if valid is None else (np.concatenate([train, valid]), len(train), tokeniser)
    )


def _tokeniser(folder: Path) -> dict[str, Any]:
    model, meta = folder / "tokenizer.json", folder / "meta.json"
    if model.is_file():
        from tokenizers import Tokenizer

        try:
            content = json.loads(model.read_text(encoding="utf-8"))
            size = Tokenizer.from_str(json.dumps(content)).get_vocab_size()
        except Exception as error:  # the library raises plain Exceptions
            raise InputError(model, f"no tokeniser of the library tokenizers ({error})") from None
        return {"kind": "bpe", "vocabulary": _checked(model, size), "model": content}
    if meta.is_file():
        try:
            size = json.loads(meta.read_text(encoding="utf-8"))["vocab_size"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(meta, f"no vocab_size there ({error})", "give the number of symbols") from None
        return {"kind": "numbers", "vocabulary": _checked(meta, size)}
    raise InputError(folder, "no tokenizer.json or meta.json there", 'write {"vocab_size": N} to meta.json')


def _checked(path: Path, size: Any) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or not 2 <= size <= LARGEST:
        raise InputError(path, f"{size!r} symbols are not from 2 to {LARGEST}", "use another tokeniser")
    return size


def _read(folder: Path, names: tuple[str, ...], vocabulary: int) -> Tokens | None:
    paths = [
        path for name in names for ending in ("bin", "npy") if (path := folder / f"{name}.{ending}").is_file()
    ]
    if not paths:
        return None
    if len(paths) > 1:
        raise InputError(paths[1], f"stands beside {paths[0].name}", "keep one of them")
    tokens = _numbers(paths[0])
    wrong = np.flatnonzero((tokens < 0) | (tokens >= vocabulary))
    if len(wrong):
        fault = f"token {tokens[wrong[0]]} at {wrong[0]} is none of {vocabulary} symbols"
        raise InputError(paths[0], fault, "give the tokeniser that made the tokens")
    return tokens.astype(np.uint16)


def _numbers(path: Path) -> NDArray[Any]:
    if path.suffix == ".bin":
        if path.stat().st_size % 2:
            raise InputError(path, "an odd number of bytes", "write tokens as 16-bit numbers")
        return np.fromfile(path, "<u2")
    try:
        tokens = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(path, f"no array of NumPy ({error})", "write it with numpy.save") from None
    if not isinstance(tokens, np.ndarray) or tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise InputError(path, "no single axis of whole numbers", "write the tokens one after the other")
    return tokens
