"""Leaderboards of GIFT-Eval and FEV-Bench from published result files.

A row names its basis: ``MASE`` and ``CRPS`` of GIFT-Eval are normalised by Seasonal Naive before the
geometric mean, ``MASE_raw`` and ``CRPS_raw`` are not; n is the number of tasks behind them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.scoring import aggregate
from specseq.scoring.submissions import Benchmark, Scores, Submission, scores

Row = dict[str, Any]
GROUPS = ("term", "domain", "frequency", "variates")
MISSING = ("error", "skip", "drop", "impute")


def _baseline(submissions: Sequence[Submission], benchmark: Benchmark) -> Submission:
    for submission in submissions:
        if submission.model == benchmark.baseline:
            return submission
    raise InputError(
        "leaderboard",
        f"no result of the baseline '{benchmark.baseline}'",
        "every error is divided by its error; add its file to the folder",
    )


def _gaps(boards: Sequence[Scores]) -> NDArray[np.bool_]:
    """Where a model lacks a value of some metric: [T, M]."""
    gaps: NDArray[np.bool_] = np.any([~np.isfinite(board.values) for board in boards], axis=0)
    return gaps


def _failures(boards: Sequence[Scores]) -> dict[str, int]:
    """Tasks that each model lacks a value of."""
    return dict(zip(boards[0].models, map(int, _gaps(boards).sum(axis=0)), strict=True))


def _check_baseline(boards: Sequence[Scores], baseline: str) -> None:
    for board in boards:
        unfit = ~(board.column(baseline) > 0)
        if unfit.any():
            fault = f"no error above zero on {int(unfit.sum())} of {len(unfit)} tasks, e.g. "
            fault += f"'{board.tasks[int(np.argmax(unfit))]}'"
            raise InputError(baseline, fault, "every error is divided by its error; score it anew")


def _settle(
    boards: list[Scores], missing: str, baseline: str, strict: frozenset[str], left_out: Callable[[str], None]
) -> list[Scores]:
    """Deal with tasks that some model has no value for.

    A model or a task is left out for all metrics alike; an error is imputed for the metric that lacks it.
    """
    _check_baseline(boards, baseline)
    gaps = _gaps(boards)
    models, tasks = boards[0].models, boards[0].tasks
    counts = gaps.sum(axis=0)
    for column in np.flatnonzero(counts):
        model, first = models[column], tasks[int(np.argmax(gaps[:, column]))]
        text = f"{len(tasks) - counts[column]} of {len(tasks)} tasks, without e.g. '{first}'"
        if missing == "error" or model in strict:
            remedy = "score the rest, or use --missing skip, drop or impute"
            raise InputError(model, f"partial result: {text}", remedy)
        if missing == "skip":
            left_out(f"{model}: partial result, {text}")
    if missing == "skip":
        keep_models = counts == 0
        return [
            Scores(
                tasks,
                tuple(np.array(models)[keep_models]),
                b.values[:, keep_models],
                b.overlap[:, keep_models],
            )
            for b in boards
        ]
    if missing == "drop":
        keep = ~gaps.any(axis=1)
        if not keep.any():
            raise InputError("leaderboard", "every task is missing for some model", "use --missing skip")
        left_out(f"{int((~keep).sum())} tasks that some model lacks")
        kept = tuple(np.array(tasks)[keep])
        return [Scores(kept, models, b.values[keep], b.overlap[keep]) for b in boards]
    filled = [np.where(np.isfinite(b.values), b.values, b.column(baseline)[:, None]) for b in boards]
    return [Scores(b.tasks, models, values, b.overlap) for b, values in zip(boards, filled, strict=True)]


def gift_eval_groups(baseline: Submission, by: str) -> dict[str, str]:
    """Task -> group, by term, domain, frequency or number of variates."""
    if by in ("term", "frequency"):
        part = {"frequency": 1, "term": 2}[by]
        parts = {task: task.split("/") for task in baseline.tasks}
        if odd := [task for task, pieces in parts.items() if len(pieces) != 3]:
            raise InputError(baseline.source, f"config '{odd[0]}' is not dataset/frequency/term", "rename it")
        return {task: pieces[part] for task, pieces in parts.items()}
    column = {"domain": "domain", "variates": "num_variates"}[by]
    if column not in baseline.labels:
        raise InputError(baseline.source, f"no column '{column}'", f"the groups by {by} come from it")
    labels = dict(zip(baseline.tasks, baseline.labels[column], strict=True))
    if by == "variates":
        return {task: "univariate" if float(label) == 1 else "multivariate" for task, label in labels.items()}
    return labels


def gift_eval_leaderboard(
    submissions: Sequence[Submission],
    benchmark: Benchmark,
    *,
    by: str | None = None,
    missing: str = "error",
    strict: frozenset[str] = frozenset(),
    resamples: int = 1000,
    seed: int = 123,
    left_out: Callable[[str], None] = lambda text: None,
) -> list[Row]:
    """Geometric means of MASE and CRPS, normalised (with bootstrap intervals over configs) and raw.

    Args:
        submissions: all results, the baseline among them; its configs are the benchmark.
        benchmark: their layout.
        by: ``term``, ``domain``, ``frequency`` or ``variates`` for one row a model and group.
        missing: what a partial result is: an ``error``, left out (``skip``), a reason to leave the config out
            for all (``drop``), or given the baseline's error (``impute``).
        strict: models whose partial result is an error in any case.
        resamples, seed: of the bootstrap.
        left_out: told what was left out.

    Returns:
        Rows sorted by normalised CRPS, best first.
    """
    base = _baseline(submissions, benchmark)
    boards = [scores(submissions, base.tasks, metric) for metric in ("MASE", "CRPS")]
    failures = _failures(boards)
    boards = _settle(boards, missing, benchmark.baseline, strict, left_out)
    group_of = gift_eval_groups(base, by) if by else dict.fromkeys(base.tasks, "all")
    labels = [group_of[task] for task in boards[0].tasks]
    contexts = {s.model: " ".join(sorted(set(s.labels.get("context_length", ())))) for s in submissions}
    rows: list[Row] = []
    for group in sorted(set(labels)):
        inside = np.array([label == group for label in labels])
        weights = aggregate.bootstrap_weights(int(inside.sum()), resamples, seed)
        columns: dict[str, Any] = {}
        for metric, board in zip(("MASE", "CRPS"), boards, strict=True):
            values = board.values[inside]
            relative = aggregate.relative_errors(values, board.column(benchmark.baseline)[inside])
            ratio = aggregate.mean_ratio(relative, weights)
            columns |= {
                metric: ratio.point,
                f"{metric}_low": ratio.low,
                f"{metric}_high": ratio.high,
                f"{metric}_raw": aggregate.geometric_mean(values),
                f"{metric}_rank": aggregate.mean_rank(values),
            }
        for number, model in enumerate(boards[0].models):
            head: Row = {"model": model} | ({by: group} if by else {}) | {"n": int(inside.sum())}
            tail = {"missing": failures[model], "context_length": contexts[model]}
            rows.append(head | {name: float(values[number]) for name, values in columns.items()} | tail)
    return sorted(rows, key=lambda row: (row.get(by or "", ""), row["CRPS"]))


def _fev_order(baseline: Submission) -> list[str]:
    """Tasks in the order of fev's own leaderboard, which its seeded bootstrap depends on."""

    def fields(name: str) -> list[str]:
        return list(baseline.labels.get(name, ("",) * len(baseline.tasks)))

    configs, horizons, targets = fields("dataset_config"), fields("horizon"), fields("target")
    keys = zip(configs, [float(h or 0) for h in horizons], targets, baseline.tasks, strict=True)
    return [key[-1] for key in sorted(keys)]


def fev_leaderboard(
    submissions: Sequence[Submission],
    benchmark: Benchmark,
    *,
    metric: str = "SQL",
    missing: str = "impute",
    strict: frozenset[str] = frozenset(),
    leakage: bool = True,
    clip: tuple[float, float] = (1e-2, 100.0),
    resamples: int = 1000,
    seed: int = 123,
    left_out: Callable[[str], None] = lambda text: None,
) -> list[Row]:
    """Skill score and win rate with bootstrap intervals, as FEV-Bench defines them.

    Errors are divided by Seasonal Naive's; a task that a model was trained on counts with Chronos-Bolt's
    error; then ratios are clipped and missing ones imputed.

    Args:
        submissions, benchmark, missing, strict, resamples, seed, left_out: as for GIFT-Eval.
        metric: SQL, MASE, WAPE or WQL.
        leakage: replace errors on data a model was trained on.
        clip: bounds of the relative error.

    Returns:
        Rows sorted by win rate, best first.
    """
    base = _baseline(submissions, benchmark)
    board = scores(submissions, _fev_order(base), metric)
    failures = _failures([board])
    values = board.values
    if leakage and benchmark.leakage_model:
        if benchmark.leakage_model not in board.models:
            remedy = "add its file to the folder, or use --keep-leaked"
            raise InputError("leaderboard", f"no result of '{benchmark.leakage_model}'", remedy)
        if board.overlap[:, board.models.index(benchmark.leakage_model)].any():
            fault = "stands in for models trained on a task's data, and was itself trained on one"
            raise InputError(benchmark.leakage_model, fault, "use --keep-leaked")
        values = aggregate.impute_leakage(values, board.overlap, board.column(benchmark.leakage_model))
    board = Scores(board.tasks, board.models, values, board.overlap)
    (board,) = _settle([board], missing, benchmark.baseline, strict, left_out)
    relative = aggregate.relative_errors(board.values, board.column(benchmark.baseline))
    weights = aggregate.bootstrap_weights(len(board.tasks), resamples, seed)
    clipped = np.clip(relative, *clip)
    wins, skill = aggregate.win_rate(clipped, weights), aggregate.skill_score(clipped, weights)
    raw = aggregate.geometric_mean(board.values)
    rows: list[Row] = [
        {
            "model": model,
            "n": len(board.tasks),
            "win_rate": float(wins.point[number]),
            "win_rate_low": float(wins.low[number]),
            "win_rate_high": float(wins.high[number]),
            "skill_score": float(skill.point[number]),
            "skill_score_low": float(skill.low[number]),
            "skill_score_high": float(skill.high[number]),
            f"{metric}_raw": float(raw[number]),
            "trained_on": float(board.overlap[:, number].mean()),
            "missing": failures[model],
        }
        for number, model in enumerate(board.models)
    ]
    return sorted(rows, key=lambda row: -row["win_rate"])
