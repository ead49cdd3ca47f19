import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from specseq.series.arrow_writer import Item, write_folder
from specseq.series.store import open_store
from specseq.series.stream import moirai2_stream
from specseq.stages import arguments, prepare_lotsa

Stage = Callable[..., tuple[int, str, str]]

SMALL = {"series": 4, "steps": 128, "evaluated": 2, "frequencies": ["H", "M"]}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stage:
    """Runs the stage as its script would; gives status, stdout and stderr."""

    def run(*options: object, **params: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["x", "--params", json.dumps(params), *map(str, options)])
        status = 0
        try:
            arguments.run(prepare_lotsa.main)
        except SystemExit as end:
            status = int(end.code or 0)
        return status, *capsys.readouterr()

    return run


def test_embedded_corpus_is_prepared_and_the_same_for_a_seed(tmp_path: Path, stage: Stage) -> None:
    runs = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    for out, seed in zip(runs, (1, 1, 2), strict=True):
        assert stage("--out", out, seed=seed, embedded=SMALL)[0] == 0
    stores = [open_store(out) for out in runs]
    assert {"nile", "macrodata", "synthetic_H", "synthetic_M"} <= set(stores[0].datasets)
    batches = [next(moirai2_stream(store, rows=2, tokens=32)).target for store in stores]
    assert batches[0].equal(batches[1])
    assert not batches[0].equal(batches[2])
    assert stores[0].manifest["datasets"] == stores[1].manifest["datasets"]


def test_fewer_sets_leave_nothing_of_earlier_ones(tmp_path: Path, stage: Stage) -> None:
    stage("--out", tmp_path / "a", embedded=SMALL)
    stage("--out", tmp_path / "a", embedded={**SMALL, "frequencies": ["H"]})
    assert "synthetic_M" not in open_store(tmp_path / "a").datasets


def test_a_folder_in_the_layout_of_the_hub_is_read_as_it_lies(tmp_path: Path, stage: Stage) -> None:
    wave = np.sin(np.arange(50.0))
    for name in ("m4_hourly", "etth"):
        item = Item("x", np.datetime64("2020-01-01T00:00:00"), "H", wave)
        write_folder(tmp_path / "lotsa" / name, [item])
    status, printed, complaint = stage(
        "--source", tmp_path / "lotsa", "--out", tmp_path / "s", exclude=["overlap"]
    )
    assert status == 0, complaint
    assert "1 series of 1 sub-datasets" in printed
    store = open_store(tmp_path / "s")
    assert store.datasets == ("etth",)
    assert not (tmp_path / "s" / "corpus").exists()


def test_columns_that_are_not_used_are_told(tmp_path: Path, stage: Stage) -> None:
    item = Item("x", np.datetime64("2020-01-01T00:00:00"), "H", np.sin(np.arange(50.0)))
    for name in ("etth", "weather"):
        write_folder(tmp_path / "lotsa" / name, [item])
    (shard,) = (tmp_path / "lotsa" / "weather").glob("*.arrow")
    with pa.ipc.open_stream(shard.read_bytes()) as reader:
        table = reader.read_all().append_column("past_feat_dynamic_real", pa.array([[[0.0] * 50]]))
    with pa.OSFile(str(shard), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    status, printed, complaint = stage("--source", tmp_path / "lotsa", "--out", tmp_path / "s")
    assert status == 0, complaint
    assert printed.splitlines()[-1] == "weather: past_feat_dynamic_real not used"
    assert printed.count("not used") == 1


@pytest.mark.parametrize(
    ("source", "params", "words"),
    [
        ("nowhere", {}, ["nowhere", "no such folder"]),
        ("embedded", {"sede": 1}, ["params.sede", "unknown key"]),
        ("embedded", {"embedded": {"steps": 3}}, ["embedded.steps"]),
        ("embedded", {"embedded": SMALL, "exclude": ["x"]}, ["'x' matches no sub-dataset"]),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, stage: Stage, source: str, params: dict[str, object], words: list[str]
) -> None:
    where = source if source == "embedded" else tmp_path / source
    status, _, complaint = stage("--source", where, "--out", tmp_path / "out", **params)
    assert status == 2
    assert len(complaint.strip().splitlines()) == 1
    for word in words:
        assert word in complaint
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_full_disk_is_one_line_and_resumed_from(tmp_path: Path, stage: Stage) -> None:
    """A bound on the size of files stands in for the disk: the weekly series do not fit."""
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, bounds[1]))
    try:
        status, _, complaint = stage("--out", tmp_path / "out", embedded=SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bounds)
    assert status == 2
    (line,) = complaint.strip().splitlines()
    assert "the disk is full" in line
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert stage("--out", tmp_path / "out", embedded=SMALL)[0] == 0
    assert len(open_store(tmp_path / "out"))


def test_no_torch_is_imported(tmp_path: Path) -> None:
    params = json.dumps({"embedded": SMALL})
    code = (
        "import sys, specseq.stages.prepare_lotsa as stage\n"
        f"sys.argv = ['x', '--out', {str(tmp_path / 'o')!r}, '--params', {params!r}]\n"
        "stage.main()\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
