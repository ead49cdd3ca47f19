"""Data that the config names: a path has one spelling, is there, and is seen to change."""

import os
from pathlib import Path

import pytest

from specseq.errors import InputError
from specseq.settings import read
from specseq.studies.config import DataSettings
from specseq.studies.outside import state, tidy_path


def test_a_path_has_one_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/lotsa").mkdir(parents=True)
    for spelling in ("data/lotsa/", "./data/../data//lotsa", str(tmp_path / "data/lotsa"), "data/lotsa"):
        assert tidy_path(spelling) == "data/lotsa"
        assert read(DataSettings, {"lotsa": spelling}, "data").lotsa == "data/lotsa"
    assert tidy_path("/elsewhere/x/") == "/elsewhere/x"
    assert read(DataSettings, {}, "data").lotsa == "embedded"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lotsa": "data/lotza"}, "data.lotsa: there is no folder 'data/lotza'; did you mean data/lotsa?"),
        (
            {"gift_eval": "/no/such/place"},
            "data.gift_eval: there is no folder '/no/such/place', nor '/no/such'",
        ),
        ({"lotsa": "hubb"}, "data.lotsa: there is no folder 'hubb'; did you mean hub?"),
        ({"lotsa": "zzz"}, "data.lotsa: there is no folder 'zzz'; give a path that exists"),
        ({"lotsa": "~/lotsa"}, "data.lotsa: there is no folder '~/lotsa'; give the whole path, /"),
        ({"lotsa": ""}, "data.lotsa: "),
        ({"fev": "data/text.txt"}, "data.fev: 'data/text.txt' is not a folder"),
        (
            {"text": {"source": {"kind": "path", "path": "data/texd.txt"}}},
            "data.text.source.path: there is no file or folder 'data/texd.txt'; did you mean data/text.txt",
        ),
    ],
)
def test_what_is_not_there_is_refused(
    given: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/lotsa").mkdir(parents=True)
    (tmp_path / "data/text.txt").write_text("text")
    with pytest.raises(InputError) as caught:
        read(DataSettings, given, "data")
    assert str(caught.value).startswith(message)


def test_changes_in_place_change_the_state(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a").write_text("one")

    def now() -> str:
        state.cache_clear()
        return state(str(folder))

    states = [now(), now()]
    assert states[0] == states[1]
    (folder / "deep/a").write_text("longer")
    states.append(now())
    os.utime(folder / "deep/a", ns=(1, 1))
    states.append(now())
    (folder / "deep/a").rename(folder / "deep/b")
    states.append(now())
    (folder / "c").write_text("")
    states.append(now())
    assert len(set(states)) == len(states) - 1
    assert state(str(folder / "c")) != state(str(folder / "deep/b"))
