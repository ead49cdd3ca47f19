import json
import os
import re
from pathlib import Path

import pytest

from specseq.scoring.gift_eval_data import find_datasets
from specseq.series.arrow import open_folder
from tests.series.rows import rows
from tests.stage_call import Refused, run

SMALL = {"series": 4, "steps": 128, "evaluated": 2, "frequencies": ["H", "M"]}


def test_embedded_sets_are_written_and_described(tmp_path: Path) -> None:
    run("prepare_gift_eval", manifest=tmp_path / "manifest.json", embedded=SMALL)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["folder"] == "sets"
    synthetic = manifest["datasets"]["synthetic/H"]
    assert (synthetic["series"], synthetic["shortest"], synthetic["frequencies"]) == (2, 128, ["H"])
    assert manifest["datasets"]["macrodata"]["variates"] == [12, 12]
    names = {dataset.folder for dataset in find_datasets(tmp_path / manifest["folder"])}
    assert names == set(manifest["datasets"])


def test_another_folder_is_described_where_it_lies(tmp_path: Path) -> None:
    run("prepare_gift_eval", manifest=tmp_path / "a" / "manifest.json", embedded=SMALL)
    run("prepare_gift_eval", source=tmp_path / "a" / "sets", manifest=tmp_path / "b" / "manifest.json")
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["folder"] == str(tmp_path / "a" / "sets")
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["manifest.json"]
    assert len(rows(open_folder(Path(manifest["folder"]) / "nile"))) == 1


def test_a_damaged_set_is_one_line_and_leaves_no_manifest(tmp_path: Path) -> None:
    run("prepare_gift_eval", manifest=tmp_path / "a" / "manifest.json", embedded=SMALL)
    shard = next((tmp_path / "a" / "sets" / "nile").glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(
        Refused, match=re.escape(f"error: {shard}: truncated shard; delete it and download it again")
    ):
        run("prepare_gift_eval", source=tmp_path / "a" / "sets", manifest=tmp_path / "b" / "manifest.json")
    assert not (tmp_path / "b" / "manifest.json").exists()


@pytest.mark.data
def test_the_real_sets_are_described(tmp_path: Path) -> None:
    if "SPECSEQ_DATA" not in os.environ:
        pytest.skip("SPECSEQ_DATA names no folder")
    source = Path(os.environ["SPECSEQ_DATA"]) / "gift_eval"
    run("prepare_gift_eval", source=source, manifest=tmp_path / "manifest.json")
    sets = json.loads((tmp_path / "manifest.json").read_text())["datasets"]
    assert (sets["ett1/15T"]["variates"], sets["ett1/15T"]["shortest"]) == ([7, 7], 69_680)
    assert sets["m4_hourly"]["series"] + sum(sets["m4_hourly"]["skipped"].values()) == 414
