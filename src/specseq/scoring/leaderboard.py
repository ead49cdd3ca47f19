"""Leaderboards of GIFT-Eval and FEV-Bench from published result files.

A row names its basis: ``MASE`` and ``CRPS`` of GIFT-Eval are normalised by Seasonal Naive before the
geometric mean, ``MASE_raw`` and ``CRPS_raw`` are not; n is the number of tasks behind them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.scoring import aggregate
from specseq.scoring.comparison import compare
from specseq.scoring.submissions import Benchmark, Scores, Submission, scores
from specseq.settings import near

Row = dict[str, Any]
CLIP = (1e-2, 100.0)
"""Bounds of a relative error in FEV-Bench."""
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
    """Mask of tasks on which a model lacks a value of some metric: [T, M]."""
    gaps: NDArray[np.bool_] = np.any([~np.isfinite(board.values) for board in boards], axis=0)
    return gaps


def _check_baseline(boards: Sequence[Scores], baseline: str) -> None:
    for board in boards:
        unfit = ~(board.column(baseline) > 0)
        if unfit.any():
            first = int(np.argmax(unfit))
            what = "no value" if np.isnan(board.column(baseline)[first]) else "no error above zero"
            fault = f"{what} on {int(unfit.sum())} of {len(unfit)} tasks, e.g. '{board.tasks[first]}'"
            raise InputError(baseline, fault, "every error is divided by its error; score it again")


@dataclass(frozen=True)
class Rules:
    """Treatment of missing and leaked results by a leaderboard.

    Attributes:
        missing: what a partial result is: an ``error``, left out (``skip``), a reason to leave the task out
            for all (``drop``), or given the baseline's error (``impute``).
        strict: models whose partial result is an error in any case.
        leakage: replace errors on data a model was trained on (FEV-Bench).
        left_out: told what was left out.
    """

    missing: str
    strict: frozenset[str] = frozenset()
    leakage: bool = True
    left_out: Callable[[str], None] = lambda text: None


# What the leaderboards of GIFT-Eval and FEV-Bench do.
_COMPLETE, _IMPUTED = Rules("error"), Rules("impute")


def line_up(
    submissions: Sequence[Submission], benchmark: Benchmark, metrics: Sequence[str], rules: Rules
) -> tuple[list[Scores], dict[str, int]]:
    """Errors of all models on the benchmark's tasks, by the rules of its leaderboard.

    Args:
        submissions: all results, the baseline among them; its tasks are the benchmark.
        benchmark: their layout.
        metrics: short names.
        rules: what to do with tasks that some model lacks or was trained on.

    Returns:
        One table per metric, all of the same models and tasks, and the number of tasks each model lacks.

    Raises:
        InputError: there is no baseline, a result is partial, or it does not say what its model trained on.
    """
    base = _baseline(submissions, benchmark)
    boards = [scores(submissions, _order(base, benchmark), metric) for metric in metrics]
    failures = dict(zip(boards[0].models, map(int, _gaps(boards).sum(axis=0)), strict=True))
    known = set(boards[0].tasks)
    for submission in submissions:
        if other := [task for task in submission.tasks if task not in known]:
            text = f"{len(other)} rows of tasks that are not of the benchmark, e.g. '{other[0]}'"
            rules.left_out(f"{submission.model}: {text}")
    if rules.leakage and benchmark.leakage_model:
        boards = [_without_leakage(submissions, board, benchmark.leakage_model) for board in boards]
    absent = {s.model: fault for s in submissions if (fault := _absent(s, base, benchmark, metrics))}
    return _settle(boards, benchmark.baseline, rules, absent), failures


def _without_leakage(submissions: Sequence[Submission], board: Scores, stand_in: str) -> Scores:
    """Errors on tasks that a model was trained on, replaced by those of a zero-shot model."""
    if stand_in not in board.models:
        remedy = "add its file to the folder, or use --keep-leaked"
        raise InputError("leaderboard", f"no result of '{stand_in}'", remedy)
    for submission in submissions:
        if not submission.states_overlap:
            fault = "no column trained_on_this_dataset says which tasks it was trained on"
            raise InputError(submission.source, fault, "add it, or use --keep-leaked")
    if board.overlap[:, board.models.index(stand_in)].any():
        fault = "stands in for models trained on a task's data, and was itself trained on one"
        raise InputError(stand_in, fault, "use --keep-leaked")
    values = aggregate.impute_leakage(board.values, board.overlap, board.column(stand_in))
    return replace(board, values=values)


def _absent(
    submission: Submission, base: Submission, benchmark: Benchmark, metrics: Sequence[str]
) -> tuple[str, str] | None:
    """Why nothing of a result can be used, and what may help."""
    for metric in metrics:
        if metric not in submission.metrics:
            column = benchmark.metrics[metric]
            others = [name for name in submission.columns if name not in benchmark.metrics.values()]
            return f"no column '{column}'", near(column, others)
    if not set(submission.tasks) & set(base.tasks):
        first = submission.tasks[0]
        return f"none of its {len(submission.tasks)} tasks is of the benchmark, e.g. '{first}'", near(
            first, base.tasks
        )
    return None


def _settle(
    boards: list[Scores], baseline: str, rules: Rules, absent: Mapping[str, tuple[str, str]]
) -> list[Scores]:
    """Deal with tasks that some model has no value for.

    A model or a task is left out for all metrics alike; an error is imputed for the metric that lacks it.
    """
    if baseline in absent:
        raise InputError(baseline, *absent[baseline])
    _check_baseline(boards, baseline)
    gaps = _gaps(boards)
    models, tasks = np.array(boards[0].models), np.array(boards[0].tasks)
    counts = gaps.sum(axis=0)
    for column in np.flatnonzero(counts):
        model, first = str(models[column]), tasks[int(np.argmax(gaps[:, column]))]
        fault = f"partial result: {len(tasks) - counts[column]} of {len(tasks)} tasks, without e.g. '{first}'"
        fault, remedy = absent.get(model, (fault, "score the rest, or use --missing skip, drop or impute"))
        if rules.missing == "error" or model in rules.strict or (model in absent and rules.missing == "drop"):
            raise InputError(model, fault, remedy)
        if rules.missing == "skip" or model in absent:
            rules.left_out(f"{model}: {fault}")
    if rules.missing == "skip":
        return [board.select(slice(None), counts == 0) for board in boards]
    if rules.missing == "drop":
        keep = np.asarray(~gaps.any(axis=1))
        if not keep.any():
            raise InputError("leaderboard", "every task is missing for some model", "use --missing skip")
        rules.left_out(f"{int((~keep).sum())} tasks that some model lacks")
        return [board.select(keep, slice(None)) for board in boards]
    return [
        replace(b, values=np.where(np.isfinite(b.values), b.values, b.column(baseline)[:, None]))
        for b in boards
    ]


def gift_eval_groups(baseline: Submission, by: str) -> dict[str, str]:
    """Task -> group, by term, domain, frequency or number of variates.

    Raises:
        InputError: the tasks' names or the baseline's columns do not say.
    """
    if by in ("term", "frequency"):
        part = {"frequency": 1, "term": 2}[by]
        parts = {task: task.split("/") for task in baseline.tasks}
        if odd := [task for task, pieces in parts.items() if len(pieces) != 3]:
            raise InputError(baseline.source, f"config '{odd[0]}' is not dataset/frequency/term", "rename it")
        return {task: pieces[part] for task, pieces in parts.items()}
    column = {"domain": "domain", "variates": "num_variates"}[by]
    if column not in baseline.labels:
        raise InputError(baseline.source, f"no column '{column}'", f"the groups by {by} come from it")
    if by == "variates":
        numbers = list(zip(baseline.tasks, baseline.numbers(column), strict=True))
        if odd := [f"{task} has {number:g}" for task, number in numbers if number < 1 or number % 1]:
            raise InputError(baseline.source, f"{odd[0]} variates", "give whole numbers from 1")
        return {task: "univariate" if number == 1 else "multivariate" for task, number in numbers}
    groups = dict(zip(baseline.tasks, baseline.labels[column], strict=True))
    if blank := [task for task, group in groups.items() if not group.strip()]:
        fault = f"{column} of '{blank[0]}' is empty, one of {len(blank)} such"
        raise InputError(baseline.source, fault, "fill the cell")
    return groups


def gift_eval_leaderboard(
    submissions: Sequence[Submission],
    benchmark: Benchmark,
    rules: Rules = _COMPLETE,
    *,
    by: str | None = None,
    resamples: int = 1000,
    seed: int = 123,
) -> list[Row]:
    """Geometric means of MASE and CRPS, normalised (with bootstrap intervals over configs) and raw.

    Args:
        submissions, benchmark, rules: see :func:`line_up`.
        by: ``term``, ``domain``, ``frequency`` or ``variates`` for one row per model and group.

    Returns:
        Rows sorted by normalised CRPS, best first.

    Raises:
        InputError: see :func:`line_up`.
    """
    base = _baseline(submissions, benchmark)
    boards, failures = line_up(submissions, benchmark, ("MASE", "CRPS"), rules)
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
            columns |= {
                **aggregate.mean_ratio(relative, weights).columns(metric),
                f"{metric}_raw": aggregate.geometric_mean(values),
                f"{metric}_rank": aggregate.mean_rank(values),
            }
        for number, model in enumerate(boards[0].models):
            head: Row = {"model": model} | ({by: group} if by else {}) | {"n": int(inside.sum())}
            tail = {"missing": failures[model], "context_length": contexts[model]}
            rows.append(head | {name: float(values[number]) for name, values in columns.items()} | tail)
    return sorted(rows, key=lambda row: (row.get(by or "", ""), row["CRPS"]))


def _order(base: Submission, benchmark: Benchmark) -> Sequence[str]:
    """The benchmark's tasks; for FEV-Bench in the order of fev's leaderboard, which its bootstrap uses."""
    if benchmark.name != "fev":
        return base.tasks
    names = [base.labels.get(name, ("",) * len(base.tasks)) for name in ("dataset_config", "target")]
    keys = zip(names[0], base.numbers("horizon"), names[1], base.tasks, strict=True)
    return [key[-1] for key in sorted(keys)]


def fev_leaderboard(
    submissions: Sequence[Submission],
    benchmark: Benchmark,
    rules: Rules = _IMPUTED,
    *,
    metric: str = "SQL",
    resamples: int = 1000,
    seed: int = 123,
) -> list[Row]:
    """Skill score and win rate with bootstrap intervals, as FEV-Bench defines them.

    Errors are divided by Seasonal Naive's; a task that a model was trained on counts with Chronos-Bolt's
    error; then ratios are clipped and missing ones imputed.

    Args:
        submissions, benchmark, rules: see :func:`line_up`.
        metric: SQL, MASE, WAPE or WQL.

    Returns:
        Rows sorted by win rate, best first.

    Raises:
        InputError: see :func:`line_up`.
    """
    (board,), failures = line_up(submissions, benchmark, (metric,), rules)
    weights = aggregate.bootstrap_weights(len(board.tasks), resamples, seed)
    clipped = np.clip(aggregate.relative_errors(board.values, board.column(benchmark.baseline)), *CLIP)
    columns = {
        **aggregate.win_rate(clipped, weights).columns("win_rate"),
        **aggregate.skill_score(clipped, weights).columns("skill_score"),
        f"{metric}_raw": aggregate.geometric_mean(board.values),
        "trained_on": board.overlap.mean(axis=0),
    }
    rows: list[Row] = [
        {"model": model, "n": len(board.tasks)}
        | {name: float(values[number]) for name, values in columns.items()}
        | {"missing": failures[model]}
        for number, model in enumerate(board.models)
    ]
    return sorted(rows, key=lambda row: -row["win_rate"])


def compare_models(
    submissions: Sequence[Submission],
    benchmark: Benchmark,
    pair: tuple[str, str],
    metrics: Sequence[str],
    rules: Rules,
    resamples: int = 2000,
) -> list[Row]:
    """Paired comparison of two models on the benchmark's tasks, by the rules of its leaderboard.

    Args:
        submissions, benchmark, rules: see :func:`line_up`; results of other models are left aside.

    Returns:
        One row per metric; a ratio below 1 is better for the first.

    Raises:
        InputError: there is no such model, or one of the two is left out; else see :func:`line_up`.
    """
    names = [submission.model for submission in submissions]
    for name in pair:
        if name not in names:
            raise InputError("--compare", f"no model '{name}'", near(name, names))
    used = {*pair, benchmark.baseline, benchmark.leakage_model if rules.leakage else None}
    boards, _ = line_up([s for s in submissions if s.model in used], benchmark, metrics, rules)
    rows: list[Row] = []
    for metric, board in zip(metrics, boards, strict=True):
        if gone := [name for name in pair if name not in board.models]:
            raise InputError(gone[0], "is left out as a partial result", "use --missing drop or impute")
        errors = aggregate.relative_errors(board.values, board.column(benchmark.baseline))
        if benchmark.name == "fev":
            errors = np.clip(errors, *CLIP)
        a, b = (errors[:, board.models.index(name)] for name in pair)
        result = compare(a, b, resamples=resamples)
        row = {"a": pair[0], "b": pair[1], "metric": metric, **asdict(result), "verdict": result.verdict}
        rows.append(row)
    return rows
