import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from specseq.cli import main
from specseq.commands.lotsa import describe
from specseq.errors import InputError
from specseq.series.prepare import prepare_store
from specseq.series.store import open_store

MakeFolder = Callable[..., Path]
WAVE = np.sin(np.arange(40.0))


def test_folder_and_store_are_described_alike(
    make_folder: MakeFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder("m4_hourly", [WAVE, np.zeros(40)])
    make_folder("wide", [np.stack([WAVE, -WAVE, WAVE])], freq="ME")
    prepare_store(tmp_path / "corpus", tmp_path / "store")
    capsys.readouterr()
    described = []
    for folder in ("corpus", "store"):
        assert main(["lotsa", str(tmp_path / folder), "--json"]) == 0
        described.append(json.loads(capsys.readouterr().out))
    for a, b in zip(*described, strict=True):
        assert a == {key: b[key] for key in a}
    first, second = described[0]
    assert (first["gift_eval_overlap"], second["gift_eval_overlap"]) == ("m4_hourly", None)
    assert first["skipped"] == {"constant": 1}
    assert second["variates"] == [3, 3]
    assert (first["share_unweighted"], first["share_weighted"]) == (0.5, 0.5)


def test_the_table_names_sizes_and_overlap(
    make_folder: MakeFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder("m4_hourly", [WAVE] * 3)
    assert main(["lotsa", str(tmp_path / "corpus")]) == 0
    shown = capsys.readouterr().out
    for word in ("m4_hourly", "120", "1 overlap", "1 in all", "100.0%"):
        assert word in shown


@pytest.mark.parametrize("record", ['{"series": 3}', "[]", "null", '{"series": 3, "points": "many"}'])
def test_the_manifest_of_another_store_is_refused(tmp_path: Path, record: str) -> None:
    (tmp_path / "manifest.json").write_text(f'{{"datasets": {{"m4": {record}}}}}')
    with pytest.raises(InputError, match=r"manifest\.json: is not the manifest of a training corpus"):
        describe(tmp_path, 16)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"null"])
@pytest.mark.parametrize("read", [open_store, lambda folder: describe(folder, 16)])
def test_a_damaged_manifest_is_one_line(
    tmp_path: Path, content: bytes, read: Callable[[Path], object]
) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json: .*run prepare_lotsa again"):
        read(tmp_path)


def test_a_missing_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lotsa", str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_name_is_no_markup(
    make_folder: MakeFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder("m4[bold]_[red]", [WAVE])
    assert main(["lotsa", str(tmp_path / "corpus")]) == 0
    assert "m4[bold]_[red]" in capsys.readouterr().out
