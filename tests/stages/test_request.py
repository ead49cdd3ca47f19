"""Requests: read from a file, refused in one line, planned with the code that does the work."""

import errno
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass, read
from specseq.sources import source_digest
from specseq.stages.request import load, save, serve
from tests import stage_call

FILES = ["stages/design.py"]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Sizes:
    rows: int = Field(default=4, ge=1)


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Work:
    out: Path
    kind: str = "plain"
    files: dict[str, tuple[Path, ...]] = Field(default_factory=dict)
    sizes: Sizes = Field(default_factory=Sizes)


def written(folder: Path, content: Any) -> Path:
    path = folder / "request.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    code = {"files": FILES, "digest": source_digest(*FILES)}
    path = save(tmp_path, {"out": Path("a b.parquet"), "files": {"runs": ["$(c)"]}, "code": code})
    assert read(Work, load(path), "request") == Work(out=Path("a b.parquet"), files={"runs": (Path("$(c)"),)})


def test_the_order_of_inputs_is_kept(tmp_path: Path) -> None:
    path = save(tmp_path, {"out": "x", "files": {"training": ["t"], "references": ["r"]}})
    assert list(read(Work, load(path), "request").files) == ["training", "references"]


def test_equal_requests_are_one_file_and_a_dry_run_writes_none(tmp_path: Path) -> None:
    planned = save(tmp_path, {"out": "x", "kind": "y"}, write=False)
    assert not planned.exists()
    assert save(tmp_path, {"out": "x", "kind": "y"}) == planned
    assert save(tmp_path, {"kind": "z", "out": "x"}) != planned
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "request.json: is not readable JSON"),
        ("[1]", "request.json: is not a JSON object; give the fields of a request"),
        ({}, "request.out: is missing; add it"),
        ({"out": 3}, "request.out: 3 is not "),
        ({"out": "x", "knid": "y"}, "request.knid: unknown key; did you mean kind?"),
        ({"out": "x", "kind": 3}, "request.kind: 3 is not "),
        ({"out": "x", "sizes": {"rows": 0}}, "request.sizes.rows: 0 is not "),
        ({"out": "x", "sizes": {"rows": 1.5}}, "request.sizes.rows: 1.5 is not a whole number"),
        ({"out": "x", "sizes": {"rows": "2"}}, "request.sizes.rows: '2' is not a whole number"),
        ({"out": "x", "sizes": {"row": 2}}, "request.sizes.row: unknown key; did you mean rows?"),
        ({"out": "x", "files": {"runs": "a"}}, "request.files.runs: 'a' is not "),
        (
            {"out": "x", "code": {"files": FILES, "digest": "0"}},
            "the code has changed since this was planned; ",
        ),
        ({"out": "x", "code": {"files": ["stages/gone.py"], "digest": "0"}}, "the code has changed since"),
    ],
)
def test_a_wrong_request_is_one_line(
    tmp_path: Path,
    content: Any,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done: list[Work] = []
    monkeypatch.setattr(sys, "argv", ["stage", "--request", str(written(tmp_path, content))])
    with pytest.raises(SystemExit) as ended:
        serve(Work, done.append, "a stage")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not done


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.json: no such request: .*; run snakemake again"):
        load(tmp_path / "nowhere.json")


def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(work: Work) -> None:
        raise OSError(28, "No space left on device", str(work.out))

    monkeypatch.setattr(sys, "argv", ["stage", "--request", str(written(tmp_path, {"out": "x"}))])
    with pytest.raises(SystemExit) as ended:
        serve(Work, full, "a stage")
    assert ended.value.code == 1
    assert (
        capsys.readouterr().err == "error: x: No space left on device; free space, or choose another folder\n"
    )


@pytest.mark.parametrize(
    ("stage", "fields", "file"),
    [
        ("design", {"out": "x.parquet", "filters": {"d": {"family": "difference"}}}, "x.parquet"),
        ("text", {"manifest": "manifest.json", "text": {"source": {"kind": "grammar"}}}, "tokens.npy"),
        ("zeros", {"out": "x.parquet", "zeros": {"index": 1, "count": 20}}, "plan.json"),
    ],
)
def test_a_disk_that_fills_under_a_whole_stage_is_one_line(
    stage: str,
    fields: dict[str, Any],
    file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SystemExit) as ended:
        stage_call.run(stage, **fields)
    assert ended.value.code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{file}: No space left on device; free space, or choose another folder" in last
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
