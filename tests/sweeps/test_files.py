"""Config files and --config words, as numbers, words and texts; keys are texts and must be unique."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from specseq.errors import InputError
from specseq.sweeps import read_config
from specseq.yaml_files import read_yaml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12:00:00", "12:00:00"),
        ("1e-3", 0.001),
        ("1.5E+2", 150.0),
        (".5", 0.5),
        ("-7", -7),
        ("1_000", 1000),
        ("true", True),
        ("no", "no"),
        ("~", None),
        ("", None),
        ("2024-01-01", "2024-01-01"),
        ("[1, a, 0.5]", [1, "a", 0.5]),
        ("{4: x}", {"4": "x"}),
        ("'30'", "30"),
    ],
)
def test_words_of_a_file_and_of_the_command_line(tmp_path: Path, text: str, expected: Any) -> None:
    (tmp_path / "config.yaml").write_text(f"key: {text}\n")
    assert read_yaml(tmp_path / "config.yaml") == {"key": expected}
    given = read_config(tmp_path / "config.yaml", words=[f"data={{key: {text or 'null'}}}"])
    assert given.content["data"] == {"key": expected}


BILLION = "x0: &x0 [0]\n" + "".join(f"x{i + 1}: &x{i + 1} [{', '.join([f'*x{i}'] * 10)}]\n" for i in range(9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is also in line 1; join the two"),
        ("x:\n  y: {a: 1, a: 2}\n", "line 2: the key 'a' is also in line 2"),
        ("a: b: c\n", "line 1: mapping values are not allowed"),
        ("a:\n\t- b\n", "line 2: found"),
        ("? [1]\n: 2\n", "line 1: a key is not a text"),
        ("a: &a {b: *a}\n", "is nested more than 50 deep"),
        ("a: &a [*a]\n", "is nested more than 50 deep"),
        ("a: " + "[" * 5000 + "]" * 5000, "is nested more than 50 deep"),
        (BILLION, "holds more than 1000000 values"),
        ("a: !!set {b}\n", "line 1: could not determine a constructor for the tag"),
        ("a: !!timestamp 2001-01-01\n", "line 1: could not determine a constructor for the tag"),
        ("a: !!bool perhaps\n", "'perhaps' is not true or false"),
        ("- a\n", "holds no mapping of keys to values"),
        ("", "holds no mapping"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_config(tmp_path / "config.yaml")
    assert message in str(caught.value)
    assert "config.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"more.yaml: not found"):
        read_yaml(tmp_path / "more.yaml")


def test_files_and_words_are_put_together_as_snakemake_does(tmp_path: Path) -> None:
    texts = [
        "a: 1\ndata: {x: {p: 1, q: [1, 2]}, y: keep}\nz: null\n",
        "b: 2\ndata: {x: {q: [3]}, w: null}\nz: {deep: 1}\n",
    ]
    paths = [tmp_path / f"{number}.yaml" for number in range(2)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    expected: dict[str, Any] = yaml.safe_load(texts[0])
    update_config(expected, yaml.safe_load(texts[1]))
    update_config(expected, {"data": {"x": {"p": 5}}})
    given = read_config(paths[0], paths[1:], ["data={x: {p: 5}}"])
    assert given.content == expected
    assert given.source(("data", "x", "p")) == "--config"
    assert given.source(("data", "x", "q")).endswith("1.yaml")
    assert given.source(("data", "y")).endswith("0.yaml")


def test_a_null_has_a_source(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data: {seed: 1}\n")
    config = read_config(tmp_path / "config.yaml", words=["data={seed: null}"])
    assert config.source(("data", "seed")) == "--config"


def test_a_word_without_a_value(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: 1\n")
    with pytest.raises(InputError, match="--config scale: is not of the form key=value"):
        read_config(tmp_path / "config.yaml", words=["scale"])
