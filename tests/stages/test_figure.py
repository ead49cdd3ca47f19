"""The figure stage: every figure names its scale."""

import json

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from specseq.errors import InputError
from specseq.report import style
from specseq.stages import figure as stage


def drawn(monkeypatch: pytest.MonkeyPatch, params: dict[str, str]) -> Figure:
    """What the stage would save."""
    saved: list[Figure] = []
    monkeypatch.setattr(style, "save", lambda figure, target: saved.append(figure))
    given = ["figure", "--name", "zeta_masks", "--params", json.dumps(params), "--out", "masks"]
    monkeypatch.setattr("sys.argv", given)
    stage.main()
    plt.close("all")
    return saved[0]


def test_the_scale_is_written_above_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [text.get_text() for text in drawn(monkeypatch, {"scale": "smoke"}).texts] == ["smoke scale"]
    assert not drawn(monkeypatch, {}).texts


def test_an_unknown_parameter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"params\.scales: unknown key"):
        drawn(monkeypatch, {"scales": "smoke"})
