import json
import sys
from pathlib import Path
from types import ModuleType

import huggingface_hub.constants
import pytest

from specseq.stages import arguments, download_fev, download_gift_eval, download_lotsa

STAGES = [
    (download_lotsa, "Salesforce/lotsa_data"),
    (download_gift_eval, "Salesforce/GiftEval"),
    (download_fev, "autogluon/fev_datasets"),
]


@pytest.mark.parametrize(("stage", "repository"), STAGES)
def test_without_a_network_one_line_says_what_to_do(
    tmp_path: Path,
    stage: ModuleType,
    repository: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(sys, "argv", ["x", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as end:
        arguments.run(stage.main)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: {repository}: the hub cannot be reached")
    assert f"hf download {repository}" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("stage", "_"), STAGES)
def test_an_unknown_parameter_is_named(
    tmp_path: Path,
    stage: ModuleType,
    _: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--out", str(tmp_path), "--params", json.dumps({"presets": 1})])
    with pytest.raises(SystemExit):
        arguments.run(stage.main)
    assert "params.presets: unknown key" in capsys.readouterr().err
