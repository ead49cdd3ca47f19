"""Tables of the equilibrium study: its runs, the signals of instability, and the mechanisms behind both."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import stats

from specseq.report.gates import difference_gate, no_gate
from specseq.scoring.comparison import student_interval
from specseq.tables import read_parquet

BASELINE = "equilibrium/wall/euler"
TRANSFORMER = "equilibrium/plain/transformer"
WALL_STEPS = {BASELINE: 0.1, "equilibrium/wall/small_step": 0.05, "equilibrium/wall/tiny_step": 0.025}
BROKEN = 0.01
REFERENCES = ("unigram_loss", "bigram_loss")
LAST = (
    *("force_residual", "alpha", "im", "rotation", "eps_crit", "omega", "gap", "rho"),
    *("jacobian_norm", "cos_exact", "loss_converged", *REFERENCES),
)
AT_EVENTS = ("loss_at_break", "alpha_at_break", "im_at_crossing")
STEP = 0.1
SIGNALS = ("alpha", "rotation", "omega", "gap", "jacobian_norm", "force_residual")
# What a summary is made of; the rows of its last step also say how far a run got.
SUMMED = [
    *("free_evaluations", "nudged_evaluations", "diverged"),
    *(f"valid/{name}" for name in ("loss", *LAST)),
]
COLUMNS = ["group", "seed", "step", "metric", "value"]
_OF_SUMMARY = (pc.field("benchmark") == "pretrain") & (
    pc.field("metric").isin(SUMMED) | (pc.field("progress") == 1) | pc.field("progress").is_null()
)
_RADII = (0.01, 0.02)
BLOCKS = {"abscissa": "leftward", "nudged_solver": "unstable", "euler_growth": "rotating"}
Measured = tuple[str, str, str, float, str]  # metric, block, method, value, unit


def summary(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Runs of the equilibrium study, seeds pooled: one row per run group.

    Every column but the first three is a mean over seeds:

    - ``loss_best``: lowest validation loss with the run's own solver and budget, ``loss_low`` and
      ``loss_high`` its 95 % interval over seeds (Student); ``loss_converged``: the last validation loss at
      roots found by every means;
    - ``unigram_loss``, ``bigram_loss``: cross-entropy of n-gram models on the same held-out windows;
    - ``against_euler``: ``loss_best`` minus that of Euler at 0.1, paired over seeds, with ``against_low`` and
      ``against_high``. ``verdict`` says whether the interval excludes zero;
    - ``behind``: ``loss_best`` minus that of a plain transformer with the same weights and schedule, paired
      over seeds, with ``behind_low`` and ``behind_high``;
    - ``baseline_value``: ``loss_best`` of Euler; ``reference_value``: the loss of the ``reference``, the
      bigram model; ``worth``: their difference, with its 95 % interval over seeds, ``worth_low`` to
      ``worth_high``. If the baseline is no better than the bigram model, ``gate`` says so and ``verdict`` is
      *not decidable at this scale*; otherwise ``gate`` is ``decidable``;
    - ``broke``: share of seeds whose free phase at the end leaves a force residual above 0.01, or that
      diverged;
    - ``loss_at_break``: validation loss at the first evaluation after the last converged free phase, for
      seeds that broke after having converged; if the run diverged before that, at the last evaluation.
      ``alpha_at_break``: max Re μ there. ``crossed``: share of seeds with α ≥ 0 at some evaluation,
      ``im_at_crossing``: |Im μ| of the leading mode at the first such evaluation. ``<column>_low`` and
      ``<column>_high`` are their 95 % intervals, where every seed has a value;
    - ``force_residual``, ``alpha``, ``im``, ``rotation``, ``eps_crit``, ``omega``, ``gap``, ``rho``,
      ``jacobian_norm``, ``cos_exact``: at the last evaluation where they could be measured;
    - ``evaluations``: per training step, of the free and the nudged phase.
    """
    long = read_parquet(inputs["long"][0], COLUMNS, _OF_SUMMARY)
    runs = {group: _per_seed(own) for group, own in long.groupby("group", sort=False)}
    rows = [
        _group_row(str(group), seeds, runs.get(BASELINE)) | _behind(seeds, runs.get(TRANSFORMER))
        for group, seeds in runs.items()
    ]
    return pd.DataFrame(rows).assign(scale=params["scale"])


def _per_seed(own: pd.DataFrame) -> pd.DataFrame:
    """One row per seed of one run group."""
    made = {}
    for seed, run in own.groupby("seed"):
        curves = run.pivot_table(index="step", columns="metric", values="value", dropna=False)
        made[seed] = _run_values(curves)
    return pd.DataFrame.from_dict(made, orient="index")


def _run_values(curves: pd.DataFrame) -> dict[str, float]:
    def column(name: str) -> "pd.Series[float]":
        return curves[name].dropna() if name in curves else pd.Series(dtype=float)

    loss, residual, alpha = column("valid/loss"), column("valid/force_residual"), column("valid/alpha")
    diverged = "diverged" in curves
    at = _break(residual, diverged)
    crossing = next(iter(alpha.index[alpha >= 0]), None)
    values = {
        "steps": float(curves.index.max()),
        "loss_best": float(loss.min()),
        "broke": float(diverged or (len(residual) > 0 and residual.iloc[-1] > BROKEN)),
        "loss_at_break": float(loss.get(at, np.nan)),
        "alpha_at_break": float(alpha.get(at, np.nan)),
        "crossed": float(crossing is not None),
        "im_at_crossing": abs(float(column("valid/im").get(crossing, np.nan))),
        "diverged": float(diverged),
        "evaluations": float(column("free_evaluations").mean()),
    }
    if len(column("nudged_evaluations")):
        values["evaluations"] += float(column("nudged_evaluations").mean())
    for name in LAST:
        last = column(f"valid/{name}")
        values[name] = float(last.iloc[-1]) if len(last) else np.nan
    return values


def _break(residual: "pd.Series[float]", diverged: bool) -> Any:
    """Step of the first evaluation after the last converged free phase; None if the last one or none did."""
    settled = residual.index[residual <= BROKEN]
    if not len(settled):
        return None
    lost = residual.index[residual.index > settled[-1]]
    if len(lost):
        return lost[0]
    return settled[-1] if diverged else None


def _group_row(group: str, seeds: pd.DataFrame, baseline: pd.DataFrame | None) -> dict[str, Any]:
    made: dict[str, Any] = {"group": group, "seeds": len(seeds)}
    made |= {str(name): float(value) for name, value in seeds.mean().items()}
    made["loss_low"], made["loss_high"] = interval(seeds["loss_best"].to_numpy())
    for name in AT_EVENTS:
        values = seeds[name].to_numpy()
        ends = interval(values) if np.isfinite(values).all() else (np.nan, np.nan)
        made[f"{name}_low"], made[f"{name}_high"] = ends
    compared = ("against_euler", "against_low", "against_high")
    made |= dict.fromkeys(compared, np.nan) | {"verdict": ""} | no_gate()
    shared = seeds.index.intersection([] if baseline is None else baseline.index)
    if baseline is None or not len(shared):
        return made
    euler = baseline.loc[shared]
    losses, bigram = euler["loss_best"].to_numpy(), euler["bigram_loss"].to_numpy()
    gate = difference_gate("loss", "a bigram model", losses, bigram)
    made |= gate.columns()
    if group != BASELINE:
        less = seeds.loc[shared, "loss_best"].to_numpy() - losses
        low, high = interval(less)
        made["against_euler"], made["against_low"], made["against_high"] = less.mean(), low, high
        made["verdict"] = gate.verdict("lower" if high < 0 else "higher" if low > 0 else "undecided")
    return made


def _behind(seeds: pd.DataFrame, transformer: pd.DataFrame | None) -> dict[str, float]:
    """Excess of a run group's loss over that of the plain transformer."""
    shared = seeds.index.intersection([] if transformer is None else transformer.index)
    if transformer is None or not len(shared):
        return dict.fromkeys(("behind", "behind_low", "behind_high"), np.nan)
    more = (seeds.loc[shared, "loss_best"] - transformer.loc[shared, "loss_best"]).to_numpy()
    low, high = interval(more)
    return {"behind": float(more.mean()), "behind_low": low, "behind_high": high}


def walls(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Euler's walls by step and seed: one row per (group, seed) of the runs that differ in ε alone.

    ``step`` is ε, ``loss_at_break`` as in the table ``equilibrium`` (NaN where the free phase was not lost),
    and ``longer`` the run with the next longer step. ``difference`` is this run's ``loss_at_break`` minus
    that of ``longer`` with the same seed.
    """
    of_walls = _OF_SUMMARY & pc.field("group").isin(list(WALL_STEPS))
    long = read_parquet(inputs["long"][0], COLUMNS, of_walls)
    at_break = {group: _per_seed(own)["loss_at_break"] for group, own in long.groupby("group")}
    made = []
    none = pd.Series(dtype=float)
    for group, longer in zip(WALL_STEPS, ["", *WALL_STEPS], strict=False):
        others = at_break.get(longer, none)
        for seed, loss in at_break.get(group, none).items():
            apart = loss - float(others.get(seed, np.nan))
            made.append((group, seed, WALL_STEPS[group], loss, longer, apart))
    columns = ["group", "seed", "step", "loss_at_break", "longer", "difference"]
    return pd.DataFrame(made, columns=columns).assign(scale=params["scale"])


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Student's 95 % interval of the mean of those that are finite; NaN for fewer than two."""
    return student_interval(values[np.isfinite(values)])


def signals(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Which measurements tell an equilibrium that Euler would leave from one that it keeps.

    One row per signal and seed. It covers every evaluation at which there was an equilibrium, in all runs of
    the sweep ``wall`` with that seed:

    - ``auc``: area under the receiver operating characteristic, the probability that the signal is larger at
      an unstable evaluation than at a stable one; 0.5 is no signal, 1 separates them. Unstable means
      ε_crit ≤ 0.1 by the exact spectrum: no matter which solver found the root, Euler at 0.1 leaves it.
      ``evaluations`` and ``unstable`` count them; NaN where all are of one kind;
    - ``share_positive``: share of the equilibria stable for the flow (α < 0) that have ω > 0.
    """
    of_wall = pc.starts_with(pc.field("group"), "equilibrium/wall/") & (pc.field("task") == "valid")
    rows = read_parquet(inputs["long"][0], ["run", "seed", "step", "metric", "value"], of_wall)
    rows = rows.assign(metric=rows["metric"].str.removeprefix("valid/"))
    found = [row for seed, own in rows.groupby("seed") for row in _signals_of_seed(int(str(seed)), own)]
    columns = ["signal", "seed", "metric", "value", "evaluations", "unstable"]
    return pd.DataFrame(found, columns=columns).assign(scale=params["scale"])


def _signals_of_seed(seed: int, own: pd.DataFrame) -> Iterator[tuple[str, int, str, float, int, int]]:
    wide = own.pivot_table(index=["run", "step"], columns="metric", values="value").reindex(
        columns=["eps_crit", *SIGNALS]
    )
    wide = wide.dropna(subset=["eps_crit"])
    unstable = (wide["eps_crit"] <= STEP).to_numpy()
    for name in SIGNALS:
        signal = wide[name].to_numpy()
        known = np.isfinite(signal)
        value = area(signal[known], unstable[known])
        yield name, seed, "auc", value, int(known.sum()), int(unstable[known].sum())
    stable = wide.loc[wide["alpha"] < 0, "omega"].dropna()
    share = float((stable > 0).mean()) if len(stable) else float("nan")
    yield "omega", seed, "share_positive", share, len(stable), 0


def area(signal: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Probability that a positive's signal exceeds a negative's, ties half; NaN without both kinds."""
    pairs = positive.sum() * (~positive).sum()
    if pairs == 0:
        return float("nan")
    ranks = stats.rankdata(signal)
    return float((ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2) / pairs)


def mechanisms(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Measurements on blocks with known answers: one figure per row.

    ``block`` is ``rotating`` (stable for the flow), ``unstable`` (its root is left by a rotating pair),
    ``leftward`` (its symmetric part reaches further left than right), ``smooth`` and ``stiff`` (leading modes
    near -1 ± i and -1 ± 16i) or ``small``, of random weights.
    ``method`` is a solver, an estimator or, for ``growth``, the step in units of ε_crit. ``value`` is, by
    ``metric``:

    - ``bias_slope``: order of the estimator's bias in the nudge radius, between radii 0.01 and 0.02
    - ``evaluations``: to a force residual of 1e-8, infinite where the solver does not get there
    - ``alpha``: of the root that the solver found
    - ``evaluations_ratio``: backward Euler's evaluations over Anderson's
    - ``converged_unstable_roots``: solvers that converged on a root with α ≥ 0, over all blocks
    - ``growth``: of a disturbance per step, at ``method`` times ε_crit
    - ``radius_error``: largest |ρ - exact| over the estimates of a method
    - ``subspace_error``: the same for two-dimensional subspace iteration, over all blocks
    - ``power_iteration_error``: |ω - exact| of power iteration on the symmetric part without a shift
    - ``alpha_error``: |α - exact| from one kind of Jacobian product
    - ``cos_exact``: of the adjoint when the nudged phase had a different solver from the free phase
    - ``penalty_cosine``: of the gradient of the published eigenvalue penalty with the exact one
    - ``step_reached``: ε at which adaptive Euler settles, by its rule or by the naive one
      (``adaptive_naive``), within .001 to .1; ``eps_crit`` of the same root
    - ``floor_overshoots``: times that the step should have shrunk but was at its floor
    - ``length_cosine``, ``length_evaluations``, ``length_seconds``: of the gradient with the exact one, and
      what the nudged phase took, by its way to end and its budget T2; ``seconds`` are the processor's
    """
    measured = read_parquet(inputs["measured"][0])
    parts = measured["task"].astype(str).str.partition("/")
    measured = measured.assign(
        kind=parts[0], block=parts[2].where(parts[2] != "", parts[0].map(BLOCKS).fillna("small"))
    )
    rows = [
        *_bias(measured),
        *_listed(measured, "euler_growth", "{at:g}", growth=("growth", "a step")),
        *_roots(measured),
        *_diagnostics(measured),
        *_listed(measured, "products", alpha_error=("alpha_error", "1/time")),
        *_listed(measured, "nudged_solver", cos_exact=("cos_exact", "")),
        *_listed(measured, "penalty", "{method}, {at:g} iterations", cos_exact=("penalty_cosine", "")),
        *_listed(
            measured,
            "controllers",
            step_reached=("step_reached", "time"),
            eps_crit=("eps_crit", "time"),
            floor_overshoots=("floor_overshoots", "steps"),
        ),
        *_listed(
            measured,
            "nudged_length",
            "{method}, T2 = {at:g}",
            cos_exact=("length_cosine", ""),
            evaluations=("length_evaluations", "evaluations"),
            seconds=("length_seconds", "s"),
        ),
    ]
    table = pd.DataFrame(rows, columns=["metric", "block", "method", "value", "unit"])
    return table.assign(scale=params["scale"])


def _of(measured: pd.DataFrame, kind: str) -> pd.DataFrame:
    return measured[measured["kind"] == kind]


def _bias(measured: pd.DataFrame) -> Iterator[Measured]:
    for method, own in _of(measured, "estimator_bias").groupby("method", sort=False):
        error = own.set_index("at")["value"]
        if set(_RADII) <= set(error.index):
            low, high = (error[radius] for radius in _RADII)
            slope = math.log(high / low) / math.log(_RADII[1] / _RADII[0])
            yield "bias_slope", "small", str(method), slope, ""


def _listed(
    measured: pd.DataFrame, kind: str, method: str = "{method}", **names: tuple[str, str]
) -> Iterator[Measured]:
    """Measurements of a kind as they are: metric -> its name in the table and its unit."""
    for row in _of(measured, kind).to_dict("records"):
        if row["metric"] in names:
            name, unit = names[row["metric"]]
            label = method.format(method=row["method"], at=row["at"])
            yield name, row["block"], label, float(row["value"]), unit


def _roots(measured: pd.DataFrame) -> Iterator[Measured]:
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
        yield "converged_unstable_roots", "all", "all", float((alpha["value"] >= 0).sum()), "roots"


def _diagnostics(measured: pd.DataFrame) -> Iterator[Measured]:
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
