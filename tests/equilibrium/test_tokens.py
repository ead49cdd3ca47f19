"""Tokens that another program made, read with its tokeniser, and what is wrong with them named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specseq.equilibrium.text.config import TextSettings, TokenFiles
from specseq.equilibrium.text.store import Corpus, prepare_text
from specseq.equilibrium.text.tokenise import decode
from specseq.errors import InputError
from specseq.settings import read
from specseq.studies.config import load_plan
from specseq.studies.planning import Planning
from tests import stage_call

ROOT = Path(__file__).parents[2]
TRAIN = np.arange(3000) % 7
VALID = np.arange(500) % 5


def folder(place: Path, **files: Any) -> Path:
    given = {"train": TRAIN, "val": VALID, "meta": {"vocab_size": 7}} | files
    place.mkdir(exist_ok=True)
    for name, content in given.items():
        if isinstance(content, np.ndarray):
            content.astype("<u2").tofile(place / f"{name}.bin")
        elif content is not None:
            (place / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return place


def settings(place: Path) -> TextSettings:
    return TextSettings(source=TokenFiles(path=str(place)))


def test_tokens_become_a_corpus_with_their_own_split(tmp_path: Path) -> None:
    manifest = prepare_text(tmp_path / "text", settings(folder(tmp_path / "tokens")))
    corpus = Corpus.open(tmp_path / "text")
    assert np.array_equal(corpus.train, TRAIN)
    assert np.array_equal(corpus.valid, VALID)
    assert corpus.vocabulary == 7
    assert manifest["source"]["kind"] == "tokens"
    assert "text_sha256" not in manifest


def test_without_a_part_of_their_own_the_end_is_held_out(tmp_path: Path) -> None:
    place = folder(tmp_path / "tokens", val=None)
    (place / "train.bin").unlink()
    np.save(place / "train.npy", TRAIN.astype(np.int32))
    prepare_text(tmp_path / "text", settings(place))
    corpus = Corpus.open(tmp_path / "text")
    assert (len(corpus.train), len(corpus.valid)) == (2700, 300)


def test_a_tokeniser_of_the_library_is_kept_and_decodes(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    text = "the cat sat on the mat " * 200
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    model.train_from_iterator([text], trainers.BpeTrainer(vocab_size=40, show_progress=False))
    place = folder(tmp_path / "tokens", train=np.array(model.encode(text).ids), val=None, meta=None)
    model.save(str(place / "tokenizer.json"))
    manifest = prepare_text(tmp_path / "text", settings(place))
    assert manifest["tokeniser"]["vocabulary"] == model.get_vocab_size()
    ids = np.array(model.encode("the cat").ids, np.uint16)
    assert decode(ids, manifest["tokeniser"]) == "the cat"


def cut(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda place: (place / name).write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda place: (place / "train.bin").unlink(), r"no train\.bin or train\.npy there"),
        (lambda place: (place / "meta.json").unlink(), r"no tokenizer\.json or meta\.json there"),
        (cut("meta.json", b"{"), r"meta\.json: no vocab_size there"),
        (cut("meta.json", b"[]"), r"meta\.json: no vocab_size there"),
        (cut("meta.json", b'{"vocab_size": "x"}'), r"meta\.json: 'x' symbols are not from 2 to 65536"),
        (cut("meta.json", b'{"vocab_size": 70000}'), r"meta\.json: 70000 symbols"),
        (cut("meta.json", b'{"vocab_size": 6}'), r"train\.bin: token 6 at 6 is none of 6 symbols"),
        (cut("tokenizer.json", b"{}"), r"tokenizer\.json: no tokeniser of the library"),
        (cut("train.bin", b"abc" * 1001), r"train\.bin: an odd number of bytes"),
        (cut("train.bin", b""), r"0 tokens are too few"),
        (cut("train.npy", b"\x80\x04N."), r"train\.npy: stands beside train\.bin"),
        (cut("val.bin", b"\xff\xff"), r"val\.bin: token 65535 at 0"),
        (cut("valid.bin", b"\0\0"), r"valid\.bin: stands beside val\.bin"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, damage: Callable[[Path], Any], fault: str) -> None:
    place = folder(tmp_path / "tokens")
    damage(place)
    with pytest.raises(InputError, match=fault) as error:
        prepare_text(tmp_path / "text", settings(place))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "text" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (np.zeros((2, 2000), np.int64), "no single axis of whole numbers"),
        (np.zeros(2000), "no single axis of whole numbers"),
        (np.full(2000, -1), "token -1 at 0 is none"),
        (np.array([{}], object), "no array of NumPy"),
    ],
    ids=["axes", "floats", "negative", "objects"],
)
def test_arrays_of_another_kind_are_refused(tmp_path: Path, content: np.ndarray, fault: str) -> None:
    place = folder(tmp_path / "tokens")
    (place / "train.bin").unlink()
    np.save(place / "train.npy", content, allow_pickle=True)
    with pytest.raises(InputError, match=fault):
        prepare_text(tmp_path / "text", settings(place))


def test_a_second_tokeniser_is_refused(tmp_path: Path) -> None:
    source = {"kind": "tokens", "path": str(tmp_path)}
    with pytest.raises(
        InputError, match=r"text\.tokeniser: token files bring their own; give `tokeniser: null`"
    ):
        read(TextSettings, {"source": source, "tokeniser": {"kind": "bpe", "size": 300}}, "text")
    with pytest.raises(InputError, match="nowhere: no such folder"):
        prepare_text(tmp_path / "text", settings(tmp_path / "nowhere"))


def test_the_workflow_reads_them_from_the_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = folder(tmp_path / "tokens")
    words = f"data={{text: {{source: {{kind: tokens, path: {place}}}, tokeniser: null}}}}"
    sources = Planning(load_plan(ROOT, words=[words])).sources
    assert sources.text("paper")["source"] == {"kind": "tokens", "path": str(place)}
    assert sources.text_needed("paper") == []
    assert sources.text_own("paper") == [str(place)]
    stage_call.run("text", manifest=tmp_path / "t" / "manifest.json", text=sources.text("paper"))
    assert "3500 tokens of 7 symbols" in capsys.readouterr().out
