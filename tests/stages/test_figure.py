"""The figure stage: every figure names its scale."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from specseq.report import style
from tests.stage_call import Refused, run


def drawn(monkeypatch: pytest.MonkeyPatch, folder: Path, **fields: str) -> Figure:
    """What the stage would save."""
    saved: list[Figure] = []
    monkeypatch.setattr(style, "save", lambda figure, target: saved.append(figure))
    files = {kind: folder / f"masks.{kind}" for kind in ("svg", "png", "pdf")}
    run("figure", **{"name": "zeta_masks", "inputs": {}, **files, **fields})
    plt.close("all")
    return saved[0]


def test_the_scale_is_written_above_the_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts = drawn(monkeypatch, tmp_path, scale="smoke").texts
    assert [text.get_text() for text in texts] == ["smoke scale"]
    assert not drawn(monkeypatch, tmp_path).texts


def test_an_unknown_figure_names_the_nearest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="none is called 'zeta_mask'; did you mean zeta_masks"):
        drawn(monkeypatch, tmp_path, name="zeta_mask")
