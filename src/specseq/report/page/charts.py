"""Interactive charts of the overview, as Vega-Lite specifications."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

VERDICT_COLOURS = {
    "reproduced": "#009E73",
    "contradicted": "#D55E00",
    "inconsistent": "#CC79A7",
    "does not hold": "#0072B2",
    "undecided": "#E69F00",
    "not decidable at this scale": "#56B4E9",
    "not run": "#999999",
}
"""Verdicts in order of display, in the Okabe-Ito palette (colour-blind safe)."""


def verdict_chart(claims: pd.DataFrame, notes: Mapping[str, str]) -> dict[str, Any]:
    """Stacked bars: how many claims of each note, by number and subject, got which verdict."""
    order = list(VERDICT_COLOURS)
    counts = claims.groupby(["note", "verdict"]).size().rename("claims").reset_index()
    counts["note"] = [f"{note} {notes.get(note, '')}".strip() for note in counts["note"].astype(str)]
    counts["order"] = counts["verdict"].map({name: place for place, name in enumerate(order)})
    chart = (
        alt.Chart(counts, height=alt.Step(30), width="container", autosize="fit-x")
        .mark_bar()
        .encode(
            x=alt.X("claims:Q", title="number of claims"),
            y=alt.Y("note:N", title=None, axis=alt.Axis(labelLimit=220)),
            color=alt.Color(
                "verdict:N",
                scale=alt.Scale(domain=order, range=list(VERDICT_COLOURS.values())),
                legend=None,  # the page's list of verdicts, above it, has the colours
            ),
            order=alt.Order("order:Q"),
            tooltip=["note", "verdict", "claims"],
        )
        .configure(background="transparent")
        .configure_view(strokeWidth=0)
    )
    return chart.to_dict()
