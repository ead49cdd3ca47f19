import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from specseq.series.arrow_writer import Item, write_folder
from specseq.series.store import open_store
from specseq.series.stream import moirai2_stream
from tests.stage_call import Refused, run

SMALL = {"series": 4, "steps": 128, "evaluated": 2, "frequencies": ["H", "M"]}


def prepare(out: Path, **fields: object) -> None:
    run("prepare_lotsa", manifest=out / "manifest.json", **fields)


def test_embedded_corpus_is_prepared_and_the_same_for_a_seed(tmp_path: Path) -> None:
    runs = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    for out, seed in zip(runs, (1, 1, 2), strict=True):
        prepare(out, seed=seed, embedded=SMALL)
    stores = [open_store(out) for out in runs]
    assert {"nile", "macrodata", "synthetic_H", "synthetic_M"} <= set(stores[0].datasets)
    batches = [next(moirai2_stream(store, rows=2, tokens=32)).target for store in stores]
    assert batches[0].equal(batches[1])
    assert not batches[0].equal(batches[2])
    assert stores[0].manifest["datasets"] == stores[1].manifest["datasets"]


def test_fewer_sets_leave_nothing_of_earlier_ones(tmp_path: Path) -> None:
    prepare(tmp_path / "a", embedded=SMALL)
    prepare(tmp_path / "a", embedded={**SMALL, "frequencies": ["H"]})
    assert "synthetic_M" not in open_store(tmp_path / "a").datasets


def test_a_folder_in_the_layout_of_the_hub_is_read_as_it_lies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wave = np.sin(np.arange(50.0))
    for name in ("m4_hourly", "etth"):
        item = Item("x", np.datetime64("2020-01-01T00:00:00"), "H", wave)
        write_folder(tmp_path / "lotsa" / name, [item])
    prepare(tmp_path / "s", source=tmp_path / "lotsa", exclude=["overlap"])
    printed = capsys.readouterr().out
    assert "1 series of 1 sub-datasets" in printed
    store = open_store(tmp_path / "s")
    assert store.datasets == ("etth",)
    assert not (tmp_path / "s" / "corpus").exists()


def test_columns_that_are_not_used_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    item = Item("x", np.datetime64("2020-01-01T00:00:00"), "H", np.sin(np.arange(50.0)))
    for name in ("etth", "weather"):
        write_folder(tmp_path / "lotsa" / name, [item])
    (shard,) = (tmp_path / "lotsa" / "weather").glob("*.arrow")
    with pa.ipc.open_stream(shard.read_bytes()) as reader:
        table = reader.read_all().append_column("feat_dynamic_real", pa.array([[[0.0] * 50]]))
    with pa.OSFile(str(shard), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    prepare(tmp_path / "s", source=tmp_path / "lotsa")
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "weather: feat_dynamic_real not used"
    assert printed.count("not used") == 1


@pytest.mark.parametrize(
    ("source", "params", "words"),
    [
        ("nowhere", {}, ["nowhere", "no such folder"]),
        ("embedded", {"sede": 1}, ["request.sede", "unknown key", "did you mean seed?"]),
        ("embedded", {"embedded": {"steps": 3}}, ["embedded.steps"]),
        ("embedded", {"embedded": SMALL, "exclude": ["x"]}, ["'x' matches no sub-dataset"]),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, source: str, params: dict[str, object], words: list[str]
) -> None:
    where = source if source == "embedded" else tmp_path / source
    with pytest.raises(Refused) as refused:
        prepare(tmp_path / "out", source=where, **params)
    for word in words:
        assert word in str(refused.value)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_full_disk_is_one_line_and_resumed_from(tmp_path: Path) -> None:
    """A bound on the size of files stands in for the disk: the weekly series do not fit."""
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, bounds[1]))
    try:
        with pytest.raises(Refused, match="the disk is full"):
            prepare(tmp_path / "out", embedded=SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bounds)
    assert not (tmp_path / "out" / "manifest.json").exists()
    prepare(tmp_path / "out", embedded=SMALL)
    assert len(open_store(tmp_path / "out"))


def test_no_torch_is_imported(tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"manifest": str(tmp_path / "o" / "manifest.json"), "embedded": SMALL}))
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['x', '--request', {str(request)!r}]\n"
        "runpy.run_module('specseq.stages.prepare_lotsa', run_name='__main__')\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
