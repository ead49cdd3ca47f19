from pathlib import Path

import huggingface_hub.constants
import pytest

from tests.stage_call import Refused, run

SOURCES = [
    ("lotsa", "Salesforce/lotsa_data"),
    ("gift_eval", "Salesforce/GiftEval"),
    ("fev", "autogluon/fev_datasets"),
]


@pytest.mark.parametrize(("source", "repository"), SOURCES)
def test_without_a_network_one_line_says_what_to_do(
    tmp_path: Path, source: str, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Refused) as refused:
        run("download", source=source, record=tmp_path / "out" / "download.json")
    assert str(refused.value).startswith(f"error: {repository}: the hub cannot be reached")
    assert f"hf download {repository}" in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("source", "kind"), [("text", "dataset"), ("chronos2", "model")])
def test_files_of_any_repository_are_asked_for_by_their_kind(
    tmp_path: Path, source: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    select = {"repository": "who/what", "files": ["a.txt"]}
    with pytest.raises(Refused, match=rf"hf download who/what --repo-type {kind} --local-dir"):
        run("download", source=source, select=select, record=tmp_path / "out" / "download.json")
    with pytest.raises(Refused, match=r"give select\.repository and select\.files"):
        run("download", source=source, record=tmp_path / "out" / "download.json")
