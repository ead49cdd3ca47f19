"""What the measurements on blocks with known answers come to, one figure a row.

``block`` is ``rotating`` (stable for the flow), ``unstable`` (its root is left by a rotating pair),
``leftward`` (its symmetric part reaches further left than right) or ``small``, of random weights. ``method``
is a solver, an estimator or, for ``growth``, the step in units of ε_crit. ``value`` is, by ``metric``:

- ``bias_slope``: order of the estimator's bias in the nudge radius, between radii 0.01 and 0.02
- ``evaluations``: to a force residual of 1e-8, infinite where the solver does not get there
- ``alpha``: of the root that the solver found
- ``evaluations_ratio``: backward Euler's evaluations over Anderson's
- ``converged_unstable_roots``: solvers that converged on a root with α > 0, over all blocks
- ``growth``: of a disturbance a step at ``method`` times ε_crit
- ``radius_error``: largest |ρ - exact| over the estimates of a method
- ``subspace_error``: the same for two-dimensional subspace iteration, over all blocks
- ``power_iteration_error``: |ω - exact| of power iteration on the symmetric part without a shift
- ``alpha_error``: |α - exact| from Jacobian products of a kind
- ``cos_exact``: of the adjoint whose nudged phase had another solver than the free phase
- ``penalty_cosine``: of the gradient of the published eigenvalue penalty with the exact one
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from specseq.tables import read_parquet

_COLUMNS = ["metric", "block", "method", "value", "unit"]
_RADII = (0.01, 0.02)
BLOCKS = {"abscissa": "leftward", "nudged_solver": "unstable", "euler_growth": "rotating"}
Row = tuple[str, str, str, float, str]


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``measured``, the table of the stage ``mechanisms``.
        params: ``scale``.
    """
    measured = read_parquet(inputs["measured"][0])
    parts = measured["task"].astype(str).str.partition("/")
    measured = measured.assign(
        kind=parts[0], block=parts[2].where(parts[2] != "", parts[0].map(BLOCKS).fillna("small"))
    )
    rows = [row for part in (_bias, _steps, _roots, _diagnostics, _rest) for row in part(measured)]
    return pd.DataFrame(rows, columns=_COLUMNS).assign(scale=params["scale"])


def _of(measured: pd.DataFrame, kind: str, **where: Any) -> pd.DataFrame:
    rows = measured[measured["kind"] == kind]
    for column, wanted in where.items():
        rows = rows[rows[column] == wanted]
    return rows


def _bias(measured: pd.DataFrame) -> Iterator[Row]:
    for method, own in _of(measured, "estimator_bias").groupby("method", sort=False):
        error = own.set_index("at")["value"]
        if set(_RADII) <= set(error.index):
            low, high = (error[radius] for radius in _RADII)
            slope = math.log(high / low) / math.log(_RADII[1] / _RADII[0])
            yield "bias_slope", "small", str(method), slope, ""


def _steps(measured: pd.DataFrame) -> Iterator[Row]:
    for row in _of(measured, "euler_growth").to_dict("records"):
        yield "growth", row["block"], f"{row['at']:g}", float(row["value"]), "a step"


def _roots(measured: pd.DataFrame) -> Iterator[Row]:
    roots = _of(measured, "solver_root")
    spent: dict[tuple[str, str], float] = {}
    for row in roots[roots["metric"] == "converged"].to_dict("records"):
        spent[row["block"], row["method"]] = float(row["at"]) if row["value"] else math.inf
        yield "evaluations", row["block"], row["method"], spent[row["block"], row["method"]], "evaluations"
    alpha = roots[roots["metric"] == "alpha"]
    for row in alpha.to_dict("records"):
        yield "alpha", row["block"], row["method"], float(row["value"]), "1/time"
    for block in dict.fromkeys(block for block, _ in spent):
        if {(block, "backward_euler"), (block, "anderson")} <= set(spent):
            ratio = spent[block, "backward_euler"] / spent[block, "anderson"]
            yield "evaluations_ratio", block, "backward_euler", ratio, ""
    if len(alpha):
        yield "converged_unstable_roots", "all", "all", float((alpha["value"] > 0).sum()), "roots"


def _diagnostics(measured: pd.DataFrame) -> Iterator[Row]:
    worst: dict[str, float] = {}
    for block, own in _of(measured, "radius").groupby("block", sort=False):
        exact = own.loc[own["method"] == "exact", "value"].iloc[0]
        for method, found in own[own["method"] != "exact"].groupby("method", sort=False):
            error = float((found["value"] - exact).abs().max())
            worst[str(method)] = max(error, worst.get(str(method), 0.0))
            yield "radius_error", str(block), str(method), error, ""
    if "subspace" in worst:
        yield "subspace_error", "all", "subspace", worst["subspace"], ""
    for block, own in _of(measured, "abscissa").groupby("block", sort=False):
        last = own.groupby("method")["value"].last()
        error = float(np.abs(last["power"] - last["lanczos"]))
        yield "power_iteration_error", str(block), "power", error, "1/time"


def _rest(measured: pd.DataFrame) -> Iterator[Row]:
    for row in _of(measured, "products").to_dict("records"):
        yield "alpha_error", "small", row["method"], float(row["value"]), "1/time"
    for row in _of(measured, "nudged_solver").to_dict("records"):
        yield "cos_exact", row["block"], row["method"], float(row["value"]), ""
    for row in _of(measured, "penalty").to_dict("records"):
        method = f"{row['method']}, {row['at']:g} iterations"
        yield "penalty_cosine", row["block"], method, float(row["value"]), ""
