"""From text to symbols: characters, or byte-pair encoding by the ``tokenizers`` library."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.equilibrium.text.config import BytePairs, Characters
from specseq.errors import InputError

Tokens = NDArray[np.uint16]
_PIECE = 1 << 16
_BATCH = 64


def tokenise(text: str, tokeniser: Characters | BytePairs) -> tuple[Tokens, dict[str, Any]]:
    """Tokens of a text and the tokeniser that made them.

    Returns:
        The tokens, and ``{"kind", "vocabulary", "alphabet" | "model"}`` as plain values.

    Raises:
        InputError: more distinct characters than tokens can represent.
    """
    return _byte_pairs(text, tokeniser.size) if isinstance(tokeniser, BytePairs) else _characters(text)


def _characters(text: str) -> tuple[Tokens, dict[str, Any]]:
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    alphabet, tokens = np.unique(codes, return_inverse=True)
    if len(alphabet) > 65536:
        raise InputError("text", f"{len(alphabet)} different characters", "use a tokeniser of kind bpe")
    known = "".join(map(chr, alphabet))
    return tokens.astype(np.uint16), {"kind": "characters", "vocabulary": len(known), "alphabet": known}


def _byte_pairs(text: str, size: int) -> tuple[Tokens, dict[str, Any]]:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    pieces = _pieces(text)
    model.train_from_iterator(pieces, trainer)
    # An encoding is many times larger than its tokens, so take a few megabytes of text at a time.
    tokens = np.concatenate(
        [
            np.asarray(encoded.ids, np.uint16)
            for first in range(0, len(pieces), _BATCH)
            for encoded in model.encode_batch_fast(pieces[first : first + _BATCH])
        ]
    )
    facts = {"kind": "bpe", "vocabulary": model.get_vocab_size(), "model": json.loads(model.to_str())}
    return tokens, facts


def _pieces(text: str) -> list[str]:
    """Split the text into pieces, at line ends where possible, so that no word is cut."""
    pieces, start = [], 0
    while start < len(text):
        cut = text.rfind("\n", start, start + _PIECE) + 1
        stop = cut if cut > start else start + _PIECE
        pieces.append(text[start:stop])
        start = stop
    return pieces


def decode(tokens: Tokens, tokeniser: Mapping[str, Any]) -> str:
    """Tokens back to text."""
    if tokeniser["kind"] == "characters":
        return "".join(tokeniser["alphabet"][token] for token in tokens)
    from tokenizers import Tokenizer

    return str(Tokenizer.from_str(json.dumps(tokeniser["model"])).decode(tokens.tolist(), False))


def context_entropies(tokens: Tokens, longest: int = 3) -> dict[str, float]:
    """Empirical entropy of a token given the 0, 1, … tokens before it, in nats: a reference for losses.

    The counts come from the text itself, so entropies at long contexts are too low.
    """
    entropies = {}
    before = 0.0
    code = np.zeros(len(tokens), np.int64)
    for order in range(1, longest + 1):
        # Joint codes are ranks, so that no product of vocabularies can overflow.
        code = code[: len(tokens) - order + 1] * (int(tokens.max()) + 1) + tokens[order - 1 :]
        _, code, counts = np.unique(code, return_inverse=True, return_counts=True)
        share = counts / counts.sum()
        joint = float(-(share * np.log(share)).sum())
        entropies[str(order)] = joint - before
        before = joint
    assert all(math.isfinite(value) for value in entropies.values())
    return entropies
