"""Corpora: known entropies, reversible tokens, checksums, and sources that are not there."""

import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.equilibrium.text.config import BytePairs, Characters, Grammar, LocalText, TextSettings
from specseq.equilibrium.text.grammar import Automaton
from specseq.equilibrium.text.sources import docstring_corpus, read_text
from specseq.equilibrium.text.store import Corpus, prepare_text
from specseq.equilibrium.text.tokenise import context_entropies, decode, tokenise
from specseq.equilibrium.text.windows import held_out, ngram_losses
from specseq.errors import InputError
from specseq.settings import read
from tests import stage_call


def test_the_embedded_text_is_long_plain_and_shuffled() -> None:
    text = docstring_corpus()
    assert len(text) > 1_000_000
    assert {mark for mark in text if mark != "\n" and not " " <= mark <= "~"} == set()
    assert text.split() != sorted(text.split())


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), states=st.integers(1, 6), symbols=st.integers(2, 9))
def test_no_model_that_knows_the_state_beats_the_entropy_rate(seed: int, states: int, symbols: int) -> None:
    automaton = Automaton.draw(seed, states, symbols, 0.5)
    share = automaton.stationary()
    assert share.sum() == pytest.approx(1)
    assert (share > -1e-12).all()
    assert 0 < automaton.entropy() <= math.log(symbols) + 1e-12
    text = automaton.sample(20_000, seed)
    tokens = np.array(["abcdefghijklmnopqrstuvwxyz ".index(mark) for mark in text])
    state, surprise = 0, []
    for token in tokens:
        surprise.append(-math.log(automaton.emission[state, token]))
        state = automaton.successor[state, token]
    error = 6 * np.std(surprise) / math.sqrt(len(surprise) / 10)
    assert np.mean(surprise) == pytest.approx(automaton.entropy(), abs=error + 1e-9)


def test_context_entropies_are_those_of_the_counts() -> None:
    tokens = np.tile(np.array([0, 1], np.uint16), 500)
    entropies = context_entropies(tokens)
    assert entropies["1"] == pytest.approx(math.log(2))
    assert entropies["2"] == pytest.approx(0, abs=1e-3)
    uniform = np.random.default_rng(0).integers(0, 4, 200_000).astype(np.uint16)
    assert list(context_entropies(uniform).values()) == pytest.approx([math.log(4)] * 3, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1))
def test_characters_are_reversible(text: str) -> None:
    try:
        encoded = text.encode("utf-32-le").decode("utf-32-le")
    except UnicodeEncodeError:
        return
    tokens, tokeniser = tokenise(encoded, Characters())
    assert decode(tokens, tokeniser) == text
    assert tokeniser["vocabulary"] == len(set(text))


def test_byte_pairs_are_reversible_and_shorter() -> None:
    text = "the cat sat on the mat\nand the dög sat on the cat\n" * 100
    tokens, tokeniser = tokenise(text, BytePairs(size=300))
    assert decode(tokens, tokeniser) == text
    assert 257 < tokeniser["vocabulary"] <= 300
    assert len(tokens) < len(text) / 2
    assert np.array_equal(tokens, tokenise(text, BytePairs(size=300))[0])


def test_a_long_text_is_encoded_a_few_megabytes_at_a_time(monkeypatch) -> None:
    text = "".join(f"line {number} of a text\n" for number in range(3000))
    whole, tokeniser = tokenise(text, BytePairs(size=300))
    monkeypatch.setattr("specseq.equilibrium.text.tokenise._BATCH", 2)
    monkeypatch.setattr("specseq.equilibrium.text.tokenise._PIECE", 1 << 10)
    parts, _ = tokenise(text, BytePairs(size=300))
    assert np.array_equal(parts, whole)
    assert decode(parts, tokeniser) == text


def test_a_corpus_is_prepared_opened_and_checked(tmp_path) -> None:
    source = {"kind": "grammar", "characters": 5000, "states": 3, "symbols": 5}
    manifest = prepare_text(tmp_path, read(TextSettings, {"source": source, "valid_share": 0.2}, "text"))
    assert manifest["entropy_nats"] < math.log(5)
    for place in (tmp_path, tmp_path / "manifest.json", tmp_path / "tokens.npy"):
        corpus = Corpus.open(place)
        assert (len(corpus.train), len(corpus.valid), corpus.vocabulary) == (4000, 1000, 5)
    text = decode(np.concatenate([corpus.train, corpus.valid]), manifest["tokeniser"])
    assert hashlib.sha256(text.encode()).hexdigest() == manifest["text_sha256"]
    tokens = np.load(tmp_path / "tokens.npy")
    tokens[7] = (tokens[7] + 1) % 5
    np.save(tmp_path / "tokens.npy", tokens)
    with pytest.raises(InputError, match="not those of the manifest"):
        Corpus.open(tmp_path)
    np.save(tmp_path / "tokens.npy", np.zeros(10, np.uint16))
    with pytest.raises(InputError, match="not those of the manifest"):
        Corpus.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="no prepared text"):
        Corpus.open(tmp_path)
    with pytest.raises(InputError, match="nowhere: no such folder"):
        Corpus.open(tmp_path / "nowhere")


def test_local_files_and_folders_are_read(tmp_path) -> None:
    (tmp_path / "b.txt").write_text("second " * 100)
    (tmp_path / "a.txt").write_text("first " * 200)
    text, facts = read_text(LocalText(path=str(tmp_path)))
    assert text.startswith("first")
    assert facts["files"] == 2
    assert read_text(LocalText(path=str(tmp_path / "a.txt")))[0] == "first " * 200
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00" * 900)
    with pytest.raises(InputError, match="not UTF-8"):
        read_text(LocalText(path=str(tmp_path / "a.txt")))


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"source": {"kind": "docstring"}}, "text.source.kind"),
        ({"source": {"kind": "grammar", "statse": 3}}, "statse"),
        ({"source": {"kind": "grammar", "symbols": 99}}, "text.source.symbols"),
        ({"source": {"kind": "grammar", "characters": 10}}, "text.source.characters: 10"),
        ({"source": {"kind": "path", "path": "nowhere.txt"}}, "nowhere.txt"),
        ({"sources": {}}, "text.sources"),
        ({"valid_share": 1.5}, "text.valid_share"),
        (
            {"source": {"kind": "grammar", "characters": 2000}, "tokeniser": {"kind": "words"}},
            "text.tokeniser",
        ),
        (
            {"source": {"kind": "grammar", "characters": 2000}, "tokeniser": {"kind": "bpe", "size": 9}},
            "size",
        ),
    ],
)
def test_bad_input_is_named(tmp_path, params: dict, place: str) -> None:
    with pytest.raises(InputError, match=place):
        prepare_text(tmp_path, read(TextSettings, params, "text"))
    assert not (tmp_path / "manifest.json").exists()


def test_the_manifest_is_plain_json(tmp_path) -> None:
    prepare_text(
        tmp_path,
        TextSettings(source=Grammar(characters=2000), tokeniser=BytePairs(size=300)),
    )
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["tokeniser"]["kind"] == "bpe"
    assert manifest["tokens"] == len(np.load(tmp_path / "tokens.npy"))


def test_ngram_losses_are_cross_entropies_of_counts() -> None:
    train = np.array([0, 1, 0, 1, 0, 2, 0, 1], np.uint16)
    windows = {"tokens": torch.tensor([[0, 1]]), "targets": torch.tensor([[1, 2]])}
    unigram = (np.array([4, 3, 1, 0]) + 1) / 12
    bigram = np.array([(3 + unigram[1]) / 5, (0 + unigram[2]) / 3])
    found = ngram_losses(train, 4, windows)
    assert found["unigram_loss"] == pytest.approx(-np.log(unigram[[1, 2]]).mean())
    assert found["bigram_loss"] == pytest.approx(-np.log(bigram).mean())


def test_ngram_losses_of_a_long_text_come_near_its_entropies() -> None:
    tokens, _ = tokenise(Automaton.draw(0, 3, 6).sample(50_000, 0), Characters())
    entropies = context_entropies(tokens)
    found = ngram_losses(tokens[:40_000], 6, held_out(tokens[40_000:], 200, 20))
    assert found["unigram_loss"] == pytest.approx(entropies["1"], abs=0.05)
    assert found["bigram_loss"] == pytest.approx(entropies["2"], abs=0.05)


@pytest.mark.parametrize(
    "damage",
    [
        {"train_tokens": "x"},
        {"train_tokens": -3},
        {"train_tokens": 10**9},
        {"tokeniser": {}},
        {"tokeniser": []},
        {"tokeniser": {"vocabulary": 2}},
        {"tokens_sha256": None},
        [],
    ],
    ids=str,
)
def test_a_damaged_manifest_is_named(tmp_path, damage: Any) -> None:
    prepare_text(tmp_path, TextSettings(source=Grammar(characters=2000, symbols=5)))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest = manifest | damage if isinstance(damage, dict) else damage
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"no prepared text|not those of the manifest"):
        Corpus.open(tmp_path)


def test_tokens_of_another_kind_are_named(tmp_path) -> None:
    prepare_text(tmp_path, TextSettings(source=Grammar(characters=2000, symbols=5)))
    for content in (b"", b"text", b"\x93NUMPY\x01\x00\xff"):
        (tmp_path / "tokens.npy").write_bytes(content)
        with pytest.raises(InputError, match="no prepared text"):
            Corpus.open(tmp_path)
    with (tmp_path / "tokens.npy").open("wb") as handle:
        np.savez(handle, tokens=np.zeros(3))
    with pytest.raises(InputError, match="no prepared text"):
        Corpus.open(tmp_path)


def test_the_text_stage_says_what_it_made(tmp_path, capsys) -> None:
    source = {"kind": "grammar", "characters": 3000, "symbols": 4}
    stage_call.run("text", manifest=tmp_path / "t" / "manifest.json", text={"source": source})
    assert "3000 tokens of 4 symbols" in capsys.readouterr().out
    assert (tmp_path / "t" / "manifest.json").exists()
