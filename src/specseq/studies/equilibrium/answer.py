"""What the equilibrium study found, in a sentence or two."""

import pandas as pd

from specseq.report.page.answers import Finding, Found, in_brackets, one
from specseq.studies.equilibrium.tables import BASELINE, BROKEN


def finding(found: Found) -> Finding | None:
    """Where does Euler's wall stand, and what trains below it?"""
    table = found.table("equilibrium")
    euler = one(table, group=BASELINE)
    if euler is None:
        return None
    others = table[table["group"].str.startswith("equilibrium/wall/") & table["against_euler"].notna()]
    return Finding(f"{_wall(euler)} {_best(others)}".strip(), tuple(table["gate"].dropna()))


def _wall(euler: "pd.Series") -> str:
    broke, seeds = round(euler["broke"] * euler["seeds"]), int(euler["seeds"])
    if not broke:
        loss = in_brackets(euler["loss_best"], euler["loss_low"], euler["loss_high"])
        return (
            f"The wall was not reached: with Euler at ε = 0.1, the free phase still converges at the end "
            f"of training in {seeds} of {seeds} seeds, after {euler['steps']:,.0f} steps and at a loss of "
            f"{loss}."
        )
    at = [euler[f"loss_at_break{ending}"] for ending in ("", "_low", "_high")]
    text = (
        f"With Euler at ε = 0.1, the free phase ends with a force residual above {BROKEN:g} "
        f"in {broke} of {seeds} seeds."
    )
    if pd.isna(at[0]):
        return text
    text += f" Convergence is lost at a loss of {in_brackets(*at)}"
    alpha = euler.get("alpha_at_break", float("nan"))
    if pd.notna(alpha):
        text += f"; with α = {alpha:.2f} there, the flow itself is {'stable' if alpha < 0 else 'unstable'}"
    return f"{text}."


def _best(others: pd.DataFrame) -> str:
    if others.empty:
        return ""
    best = others.sort_values("against_euler").iloc[0]
    name = best["group"].rsplit("/", 1)[1].replace("_", " ")
    apart = in_brackets(best["against_euler"], best["against_low"], best["against_high"])
    sure = "reaches" if best["verdict"] == "lower" else "is not shown to reach"
    one_of = (
        "The one other method" if len(others) == 1 else f"The best of {len(others)} other methods, picked"
    )
    one_of += f" ({name})" if len(others) == 1 else f" in hindsight ({name}),"
    return f"{one_of} {sure} a lower loss than Euler: the difference is {apart} nats."
