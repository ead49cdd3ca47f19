"""What is written above figures, and the ticks of logarithmic axes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from specseq.report.style import counted, name_scale, plain_log, sample_sizes, spread, styled


def test_a_figure_says_what_it_stands_on_and_of_which_scale() -> None:
    with styled():
        figure = plt.figure()
        sample_sizes(figure, windows=(60, 1000), configs=0, filters=(0, 0), seeds=3, channels=(1, 1))
        name_scale(figure, "laptop")
    assert [text.get_text() for text in figure.texts] == [
        "n = 60–1,000 windows, 3 seeds, 1 channel",
        "laptop scale",
    ]
    plt.close(figure)


def test_counts_that_differ_are_a_range() -> None:
    assert counted(1, "seeds") == counted((1, 1), "seeds") == "1 seed"
    assert counted((1, 3), "seeds") == "1–3 seeds"
    assert spread(pd.Series([3, np.nan, 1])) == (1, 3)
    assert spread(pd.Series([], dtype=float)) == (0, 0)


@pytest.mark.parametrize(
    ("limits", "ticks"),
    [
        ((9, 12.5), [9, 10, 11, 12]),
        ((0.85, 1.18), [0.9, 1, 1.1]),
        ((2, 9), [2, 3, 4, 6, 8]),
        ((3e4, 7e5), [5e4, 1e5, 2e5, 5e5]),
        ((1e6, 2e9), [1e6, 1e7, 1e8, 1e9]),
    ],
)
def test_logarithmic_ticks_have_room(limits: tuple[float, float], ticks: list[float]) -> None:
    figure, axes = plt.subplots()
    axes.set(xscale="log", xlim=limits)
    plain_log(axes.xaxis)
    inside = [tick for tick in axes.get_xticks() if limits[0] <= tick <= limits[1]]
    assert inside == pytest.approx(ticks)
    plt.close(figure)
