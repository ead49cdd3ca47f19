"""Find partial, copied and otherwise doubtful submissions among published result files.

What a file of aggregated metrics gives away:

* **partial**: fewer tasks than the benchmark, or a task twice.
* **copy** and **overlap**: every metric of a task equals another submission's to float32 rounding. Asking
  this of all metrics at once rules out chance equality of values printed with three digits.
* **near copy**: the same but for rounding, noise of 0.2 % or a constant factor per metric, on a third of
  tasks.
* **mosaic**: metrics of one row equal those of several submissions, which no single forecast can produce.
* **outlier**: a row is 1.3 times better than the next best, as a geometric mean over metrics. The model may
  be better, or it may have seen the data.
* **other data**: MAE/ND and RMSE/NRMSE are both the mean absolute target over the points scored, which no
  forecaster can influence. Where both differ from the field's median, other points were scored (fewer series,
  fewer windows, another sampling rate). FEV-Bench files say outright how many windows they hold.
* **inconsistent**: only one of the two ratios differs, so the metrics of a row do not belong together.
* **invalid**: NaN, infinite or negative metrics.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from specseq.scoring.audit_pairs import Counts, Pair, equal_pairs, mosaics, near_pairs, origins
from specseq.scoring.submissions import Benchmark, Floats, Submission

KINDS = (
    *("partial", "copy", "near copy", "mosaic", "overlap"),
    *("other data", "inconsistent", "invalid", "outlier"),
)
_OUTLYING = ("MASE", "MAE", "sMAPE", "RMSE", "CRPS", "MSIS", "SQL", "WQL", "WAPE")
_AHEAD = 1.3
# Share of tasks equal in every metric from which a submission counts as an overlap, and as a copy.
_OVERLAP_SHARE, _COPY_SHARE = 1 / 3, 0.9
# Models that count as the origin when two are equal; else it is the one that shares most rows with others.
_REFERENCES = frozenset({"naive", "seasonal_naive", "Naive", "Seasonal Naive"})
_LEAST_FIELD = 10  # models that make a field


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
        sure: ``certain``: a fact of the files; ``likely``: nothing else explains it well; ``possible``: a
            better model explains it, too.
    """

    model: str
    kind: str
    tasks: int
    of: int
    against: str
    detail: str
    sure: str = "certain"


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


def _pairs(table: Floats, equal: Sequence[Pair], names: Sequence[str]) -> Iterator[Finding]:
    """Copies, overlaps and near copies; the last also say how many near rows the next pair of models has."""
    chosen = [pair for pair in equal if pair.rows / pair.of >= _OVERLAP_SHARE]
    for pair, origin, other in origins(chosen, names, _REFERENCES):
        kind = "copy" if pair.rows / pair.of >= _COPY_SHARE else "overlap"
        text = f"every metric equals {names[origin]}'s on {pair.rows} of {pair.of} tasks"
        yield Finding(names[other], kind, pair.rows, pair.of, names[origin], text)
    known = {(pair.a, pair.b) for pair in chosen}
    near = [pair for pair in near_pairs(table) if (pair.a, pair.b) not in known]
    chosen = [pair for pair in near if pair.rows / pair.of >= _OVERLAP_SHARE]
    next_most = max((pair.rows for pair in near if pair not in chosen), default=0)
    for pair, origin, other in origins(chosen, names, _REFERENCES):
        factor = pair.factor if other == pair.a else 1 / pair.factor
        how = (
            f"times {np.median(factor):.4g}"
            if np.abs(np.log(factor)).max() > 2e-3
            else "to rounding or 0.2 %"
        )
        text = f"every metric is {names[origin]}'s {how} on {pair.rows} of {pair.of} tasks"
        text += f"; of the other pairs none on more than {next_most}"
        yield Finding(names[other], "near copy", pair.rows, pair.of, names[origin], text, "likely")


def _mosaics(table: Floats, equal_MM: Counts, names: Sequence[str]) -> Iterator[Finding]:
    for model, rows, cells, sources in mosaics(table, equal_MM):
        shown = ", ".join(names[one] for one in sources[:4])
        total = int(np.isfinite(table[model]).sum())
        text = f"metrics of one row equal those of several models ({shown}): {cells} of {total} values"
        yield Finding(names[model], "mosaic", rows, table.shape[1], names[sources[0]], text)


def _outliers(
    table: Floats,
    names: Sequence[str],
    tasks: Sequence[str],
    columns: Sequence[int],
    doubtful: frozenset[str],
) -> Iterator[Finding]:
    """Rows ahead of the next best by a factor, as a geometric mean over metrics.

    Models that scored other data are left out of the field; copies stay in, so a copied row is not ahead.
    """
    field = np.array([name not in doubtful for name in names])
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where(table[field] > 0, table[field], np.nan))[:, :, list(columns)]
    if len(logs) < _LEAST_FIELD:
        return
    scores = np.where(np.isfinite(logs).all(axis=2), logs.mean(axis=2), np.inf)
    shown = [name for name in names if name not in doubtful]
    found: dict[str, list[tuple[float, str]]] = {}
    for task, of_task in zip(tasks, scores.T, strict=True):
        first, second = np.argsort(of_task, kind="stable")[:2]
        if of_task[second] - of_task[first] > np.log(_AHEAD):
            ratio = float(np.exp(of_task[second] - of_task[first]))
            found.setdefault(shown[first], []).append((ratio, task))
    for name, rows in found.items():
        ratio, task = max(rows)
        text = f"{ratio:.3g} times better than the next best of {len(shown)} models on {task}"
        yield Finding(name, "outlier", len(rows), len(tasks), "", text, "possible")


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
            yield Finding(submission.model, "other data", int(both.sum()), seen, "", text, "likely")
        if one.any():
            worst = int(np.argmax(one))
            text = f"MAE/ND and RMSE/NRMSE imply different targets, e.g. on {tasks[worst]}"
            yield Finding(submission.model, "inconsistent", int(one.sum()), seen, "", text, "likely")


def _provenance(
    submissions: Sequence[Submission], tasks: Sequence[str], columns: Sequence[str]
) -> Iterator[Finding]:
    """FEV-Bench: rows that say they hold other windows or other data than the rest of the field."""
    for column in columns:
        stated = {
            s.model: dict(zip(s.tasks, s.labels[column], strict=True))
            for s in submissions
            if column in s.labels
        }
        usual = {}
        for task in tasks:
            values = [by_task[task] for by_task in stated.values() if by_task.get(task)]
            if len(values) >= 3:
                usual[task] = Counter(values).most_common(1)[0][0]
        for model, by_task in stated.items():
            odd = [task for task in usual if by_task.get(task) and by_task[task] != usual[task]]
            if odd:
                text = f"{column} is {by_task[odd[0]]} on {odd[0]}, the field has {usual[odd[0]]}"
                yield Finding(model, "other data", len(odd), len(usual), "", text)


def flags(submissions: Sequence[Submission], benchmark: Benchmark) -> dict[str, str]:
    """The kinds of what :func:`audit` finds for each model, in order and without partial results."""
    kinds: dict[str, list[str]] = {}
    for finding in audit(submissions, benchmark):
        if finding.kind != "partial" and finding.kind not in kinds.setdefault(finding.model, []):
            kinds[finding.model].append(finding.kind)
    return {model: ", ".join(found) for model, found in kinds.items()}


def audit(
    submissions: Sequence[Submission],
    benchmark: Benchmark,
    *,
    tolerance: float = 0.01,
) -> list[Finding]:
    """Look for partial, copied, and doubtful submissions.

    Args:
        submissions: all results; the tasks of the baseline (or else the union of all) are the benchmark.
        tolerance: relative deviation of the implied mean absolute target. Published files go down to three
            digits, so one per cent.

    Returns:
        Findings by kind, the largest first. A finding is a reason to look, not a judgement.
    """
    base = [s for s in submissions if s.model == benchmark.baseline]
    tasks = tuple(dict.fromkeys(task for s in base or submissions for task in s.tasks))
    metrics = [m for m in benchmark.metrics if sum(m in s.metrics for s in submissions) > 1]
    found = [made for s in submissions for make in (_partial(s, tasks), _invalid(s)) for made in make]
    names = [submission.model for submission in submissions]
    values = [[_aligned(s, metric, tasks) for metric in metrics] for s in submissions]
    table = np.array(values).reshape(len(submissions), len(metrics), len(tasks)).swapaxes(1, 2)
    if metrics:  # else no metric is in more than one submission
        pairs, equal_MM = equal_pairs(table)
        found += _pairs(table, pairs, names)
        found += _mosaics(table, equal_MM, names)
    if {"MAE", "ND", "RMSE", "NRMSE"} <= set(metrics):
        found += _scale(submissions, tasks, tolerance)
    found += _provenance(submissions, tasks, benchmark.provenance)
    doubtful = frozenset(
        f.model for f in found if f.kind in ("other data", "inconsistent", "copy", "near copy")
    )
    if columns := [number for number, metric in enumerate(metrics) if metric in _OUTLYING]:
        found += _outliers(table, names, tasks, columns, doubtful)
    return sorted(found, key=lambda f: (KINDS.index(f.kind), -f.tasks, f.model))
