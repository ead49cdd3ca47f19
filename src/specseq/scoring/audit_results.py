"""Find partial, copied and otherwise doubtful submissions among published result files.

What a file of aggregated metrics gives away:

* **partial**: fewer tasks than the benchmark, or a task twice.
* **copy** and **overlap**: every metric of a task equals another submission's to float32 rounding. Asking it
  of all metrics at once keeps out chance equality of values printed with three digits.
* **other data**: MAE/ND and RMSE/NRMSE are both the mean absolute target over the points scored, which no
  forecaster can influence. Where both differ from the field's median, other points were scored (fewer series,
  fewer windows, another sampling rate). FEV-Bench files say outright how many windows they hold.
* **inconsistent**: only one of the two ratios differs, so the metrics of a row do not belong together.
* **invalid**: NaN, infinite or negative metrics.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from specseq.scoring.submissions import Benchmark, Floats, Submission

KINDS = ("partial", "copy", "overlap", "other data", "inconsistent", "invalid")


@dataclass(frozen=True)
class Finding:
    """One thing worth a look.

    Attributes:
        model: the submission.
        kind: one of :data:`KINDS`.
        tasks: tasks affected.
        of: tasks looked at.
        against: the other submission, for copies and overlaps.
        detail: what was found, with an example.
    """

    model: str
    kind: str
    tasks: int
    of: int
    against: str
    detail: str

    def row(self) -> dict[str, Any]:
        """The finding as one row of a table."""
        return asdict(self)


def _aligned(submission: Submission, metric: str, tasks: Sequence[str]) -> Floats:
    values = submission.metrics.get(metric)
    if values is None:
        return np.full(len(tasks), np.nan)
    place = {task: number for number, task in enumerate(submission.tasks)}
    return np.array([values[place[task]] if task in place else np.nan for task in tasks])


def _partial(submission: Submission, tasks: Sequence[str]) -> Iterator[Finding]:
    if missing := [task for task in tasks if task not in set(submission.tasks)]:
        text = f"{len(missing)} tasks missing, e.g. {missing[0]}"
        yield Finding(submission.model, "partial", len(missing), len(tasks), "", text)
    if repeated := submission.repeated():
        text = f"{len(repeated)} tasks have several rows, e.g. {repeated[0]}"
        yield Finding(submission.model, "partial", len(repeated), len(tasks), "", text)


def _invalid(submission: Submission) -> Iterator[Finding]:
    for metric, values in submission.metrics.items():
        bad = ~np.isfinite(values) | (values < 0)
        if bad.any():
            first = int(np.argmax(bad))
            text = f"{metric} is {values[first]} for {submission.tasks[first]}"
            yield Finding(submission.model, "invalid", int(bad.sum()), len(values), "", text)


def _pairs(
    submissions: Sequence[Submission],
    tasks: Sequence[str],
    metrics: Sequence[str],
    references: frozenset[str],
    copy_share: float,
    overlap_share: float,
) -> Iterator[Finding]:
    if not metrics:  # nothing stands in more than one submission
        return
    table_MTK = np.array([[_aligned(s, metric, tasks) for metric in metrics] for s in submissions]).swapaxes(
        1, 2
    )
    equal: list[tuple[int, int, int, int]] = []
    for a, b in combinations(range(len(submissions)), 2):
        both = np.isfinite(table_MTK[a]) & np.isfinite(table_MTK[b])
        same = np.isclose(table_MTK[a], table_MTK[b], rtol=1e-5, atol=0) | ~both
        shared = both.sum(axis=1) >= min(2, len(metrics))
        count, of = int((same.all(axis=1) & shared).sum()), int(shared.sum())
        if of and count / of >= overlap_share:
            equal.append((a, b, count, of))
    degree: Counter[int] = Counter()
    for a, b, count, _ in equal:
        degree.update({a: count, b: count})
    for a, b, count, of in equal:

        def standing(index: int) -> tuple[bool, int, str]:
            model = submissions[index].model
            return model not in references, -degree[index], model

        origin, other = sorted((a, b), key=standing)
        kind = "copy" if count / of >= copy_share else "overlap"
        name = submissions[origin].model
        text = f"every metric equals {name}'s on {count} of {of} tasks"
        yield Finding(submissions[other].model, kind, count, of, name, text)


def _scale(submissions: Sequence[Submission], tasks: Sequence[str], tolerance: float) -> Iterator[Finding]:
    """GIFT-Eval: the mean absolute target that each row implies, twice."""
    implied = []
    for top, bottom in (("MAE", "ND"), ("RMSE", "NRMSE")):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.array([_aligned(s, top, tasks) / _aligned(s, bottom, tasks) for s in submissions])
        implied.append(np.where(np.isfinite(ratio), ratio, np.nan))
    known = np.isfinite(np.array(implied)).all(axis=0)
    # Where fewer have a task, there is no field to compare with.
    enough = known.sum(axis=0) >= 3
    if not enough.any():
        return
    tasks, known = [task for task, keep in zip(tasks, enough, strict=True) if keep], known[:, enough]
    implied = [ratio[:, enough] for ratio in implied]
    off = [np.abs(ratio / np.nanmedian(ratio, axis=0) - 1) > tolerance for ratio in implied]
    for number, submission in enumerate(submissions):
        both = off[0][number] & off[1][number]
        one = off[0][number] ^ off[1][number]
        seen = int(known[number].sum())
        if both.any():
            worst = int(np.argmax(both))
            factor = implied[0][number, worst] / np.nanmedian(implied[0][:, worst])
            text = (
                f"mean |target| (MAE/ND and RMSE/NRMSE) is {factor:.3g} times the field's on {tasks[worst]}"
            )
            yield Finding(submission.model, "other data", int(both.sum()), seen, "", text)
        if one.any():
            worst = int(np.argmax(one))
            text = f"MAE/ND and RMSE/NRMSE imply different targets, e.g. on {tasks[worst]}"
            yield Finding(submission.model, "inconsistent", int(one.sum()), seen, "", text)


def _provenance(
    submissions: Sequence[Submission], tasks: Sequence[str], columns: Sequence[str]
) -> Iterator[Finding]:
    """FEV-Bench: rows that say they hold other windows or other data than the rest of the field."""
    for column in columns:
        said = {
            s.model: dict(zip(s.tasks, s.labels[column], strict=True))
            for s in submissions
            if column in s.labels
        }
        usual = {}
        for task in tasks:
            values = [by_task[task] for by_task in said.values() if by_task.get(task)]
            if len(values) >= 3:
                usual[task] = Counter(values).most_common(1)[0][0]
        for model, by_task in said.items():
            odd = [task for task in usual if by_task.get(task) and by_task[task] != usual[task]]
            if odd:
                text = f"{column} is {by_task[odd[0]]} on {odd[0]}, the field has {usual[odd[0]]}"
                yield Finding(model, "other data", len(odd), len(usual), "", text)


def audit(
    submissions: Sequence[Submission],
    benchmark: Benchmark,
    *,
    references: frozenset[str] = frozenset({"naive", "seasonal_naive", "Naive", "Seasonal Naive"}),
    copy_share: float = 0.9,
    overlap_share: float = 1 / 3,
    tolerance: float = 0.01,
) -> list[Finding]:
    """Look for partial, copied, and doubtful submissions.

    Args:
        submissions: all results; the tasks of the baseline (or else the union of all) are the benchmark.
        benchmark: their layout.
        references: models that others copy, and not the reverse, when two are equal. Otherwise the one that
            shares most rows with others counts as the origin.
        copy_share: share of tasks equal in every metric from which a submission counts as a copy.
        overlap_share: share from which it counts as an overlap.
        tolerance: relative deviation of the implied mean absolute target. Published files go down to three
            digits, so one per cent.

    Returns:
        Findings by kind, the largest first. A finding is a reason to look, not a judgement.
    """
    base = [s for s in submissions if s.model == benchmark.baseline]
    tasks = tuple(dict.fromkeys(task for s in base or submissions for task in s.tasks))
    metrics = [m for m in benchmark.metrics if sum(m in s.metrics for s in submissions) > 1]
    found = [made for s in submissions for make in (_partial(s, tasks), _invalid(s)) for made in make]
    found += _pairs(submissions, tasks, metrics, references, copy_share, overlap_share)
    if {"MAE", "ND", "RMSE", "NRMSE"} <= set(metrics):
        found += _scale(submissions, tasks, tolerance)
    found += _provenance(submissions, tasks, benchmark.provenance)
    return sorted(found, key=lambda f: (KINDS.index(f.kind), -f.tasks, f.model))
