"""Result files of a benchmark: rows in one of two layouts, kept by config or task so that scoring can resume.

An unfinished file holds in its provenance the sums over the finished windows of the next config or task, so
that work resumes there.

**tidy**: the long shape with the key columns ``forecaster``; ``filter`` and ``reversal``, both ``none`` for a
plain forecast; ``spectral_radius`` and ``noise_gain`` of the filter, NaN for none. Where reversals were asked
for, rows ``scaled_absolute_error`` give the error of the median at chosen horizon steps (``step``, from 1),
scaled as in MASE. A reversal that diverged has metrics NaN and a row ``diverged`` of 1, a model whose
training diverged has that row alone; the reason is in the file's provenance.

**published**: one row per config or task in the columns of the benchmark's published results.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from specseq.errors import InputError
from specseq.filters import noise_gain
from specseq.filters.stability import spectral_radius
from specseq.scoring.evaluate import Checkpoint, Outcome
from specseq.scoring.evaluation import Evaluation, content_digest
from specseq.scoring.metrics import step_grid
from specseq.scoring.reversal import Variant
from specseq.scoring.submissions import BENCHMARKS
from specseq.tables import Provenance, digest, long_table, read_provenance, read_rows, write_parquet
from specseq.tables.arrays import arrow_array
from specseq.tables.files import stat_digest

KEYS = ("forecaster", "filter", "reversal", "spectral_radius", "noise_gain")

Row = dict[str, Any]
Outcomes = Mapping[Variant, Outcome]


@dataclass(frozen=True)
class Tidy:
    """Long rows of every variant, with benchmark, study, run and seed; the file is written whole."""

    benchmark: str
    study: str = ""
    run: str = ""
    seed: int = -1
    resumes = False
    name_column = "task"

    def rows(self, evaluation: Evaluation, outcomes: Outcomes) -> Iterator[Row]:
        """A row per variant and metric, and per variant and chosen horizon step."""
        known = BENCHMARKS[self.benchmark].metrics if self.benchmark in BENCHMARKS else {}
        columns = {column: name for name, column in known.items()}
        for variant, outcome in outcomes.items():
            taps = outcome.filter.array if outcome.filter else None
            keys = {
                "study": self.study,
                "run": self.run,
                "seed": self.seed,
                "benchmark": self.benchmark,
                "task": evaluation.name,
                **variant._asdict(),
                "spectral_radius": float("nan") if taps is None else spectral_radius(taps),
                "noise_gain": float("nan") if taps is None else noise_gain(taps),
            }
            for column, value in outcome.values.items():
                yield {**keys, "metric": columns.get(column, column), "value": value}
            if outcome.steps is not None:
                for step in step_grid(len(outcome.steps)):
                    error = float(outcome.steps[step - 1])
                    yield {**keys, "step": step, "metric": "scaled_absolute_error", "value": error}
            if outcome.diverged:
                yield {**keys, "metric": "diverged", "value": 1.0}

    def table(self, rows: Sequence[Row]) -> pa.Table:
        """The long table."""
        return long_table(rows, KEYS)


@dataclass(frozen=True)
class Published:
    """One row per config or task, for a plain forecast, named after the model; the file may be resumed."""

    benchmark: str
    model: str = ""
    context_length: int | None = None
    resumes = True

    @property
    def name_column(self) -> str:
        """``config``, ``task_name`` or ``task``."""
        return {"gift_eval": "config", "fev": "task_name"}.get(self.benchmark, "task")

    def rows(self, evaluation: Evaluation, outcomes: Outcomes) -> Iterator[Row]:
        """The row of a config or task.

        Raises:
            InputError: the forecast diverged.
        """
        ((variant, outcome),) = outcomes.items()
        if outcome.diverged:
            raise InputError(evaluation.name, f"{variant.forecaster} diverged: {outcome.diverged}")
        row = {"model_name" if self.benchmark == "fev" else "model": self.model, **evaluation.facts()}
        if self.benchmark == "fev":
            error = outcome.values[row["eval_metric"]]
            row |= {"test_error": error, "trained_on_this_dataset": False}
        yield {**row, **outcome.values, "context_length": self.context_length, "basis": "raw"}

    def table(self, rows: Sequence[Row]) -> pa.Table:
        """A table whose column ``context_length`` may hold no number."""
        return pa.table(
            {name: arrow_array([row[name] for row in rows]) for name in (rows[0] if rows else ())}
        )


Layout = Tidy | Published


class ResultFile:
    """A result file that is written as it grows.

    Args:
        path: the Parquet file. Rows that it holds already are kept if the layout resumes.
        provenance: of the file; its parameters decide the numbers besides data and tasks.

    Raises:
        InputError: the file was made with other parameters.
    """

    def __init__(self, path: Path, layout: Layout, provenance: Provenance) -> None:
        self.path, self.layout, self.provenance = path, layout, provenance
        self._rows: dict[str, list[Row]] = {}
        self.provenance.facts |= {"made_of": {}, "stats": {}, "diverged": {}, "unfinished": {}, "seconds": {}}
        if layout.resumes and path.exists():
            self._read_earlier()

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def expect(self, evaluation: Evaluation, forecasts: str | None = None) -> None:
        """Note what a config or task is scored from.

        Args:
            forecasts: digest of forecasts that were made elsewhere; None for none.

        Raises:
            InputError: its rows in the file were made from other data or another task.
        """
        facts, name = self.provenance.facts, evaluation.name
        now = json.loads(json.dumps(evaluation.settings()))
        if forecasts is not None:
            now["forecasts"] = forecasts
        known = name in self or name in facts["unfinished"]
        earlier = facts["made_of"].get(name, {}) if known else {}
        files, stats = evaluation.files(), stat_digest(evaluation.files())
        # Contents are only read where names, sizes or times of change differ.
        same = bool(earlier) and facts["stats"].get(name) == stats
        now["files"] = earlier["files"] if same else content_digest(files)
        for field, value in now.items():
            if known and earlier.get(field) != value:
                fault = f"has {field} {earlier.get(field)}, the data and tasks have {value}"
                fault = "was made of other data files" if field == "files" else fault
                fault = "was made of other forecasts" if field == "forecasts" else fault
                text = f"its row of {name} {fault}"
                raise InputError(self.path, text, "delete it or give another --out")
        facts["made_of"][name], facts["stats"][name] = now, stats

    def checkpoint(self, evaluation: Evaluation) -> Checkpoint:
        """Checkpoint from which a config or task begins."""
        kept = self.provenance.facts["unfinished"].get(evaluation.name)
        return Checkpoint(kept["windows"], kept["totals"]) if kept else Checkpoint()

    def note(self, evaluation: Evaluation, checkpoint: Checkpoint) -> None:
        """Note how far a config or task is."""
        self.provenance.facts["unfinished"] = {evaluation.name: vars(checkpoint).copy()}

    def took(self, evaluation: Evaluation, seconds: float) -> None:
        """Add to the time that a config or task took."""
        spent = self.provenance.facts["seconds"]
        spent[evaluation.name] = spent.get(evaluation.name, 0.0) + seconds

    def add(self, evaluation: Evaluation, outcomes: Outcomes) -> None:
        """Add the rows of a config or task."""
        self._rows[evaluation.name] = list(self.layout.rows(evaluation, outcomes))
        self.provenance.facts["unfinished"] = {}
        for variant, outcome in outcomes.items():
            if outcome.diverged:
                key = "/".join((evaluation.name, variant.filter, variant.reversal))
                self.provenance.facts["diverged"][key] = outcome.diverged

    def save(self) -> None:
        """Write all rows, and how far the next config or task is."""
        rows = [row for of_one in self._rows.values() for row in of_one]
        write_parquet(self.path, self.layout.table(rows), self.provenance)

    def rows(self, names: Sequence[str]) -> list[Row]:
        """The rows of these configs or tasks."""
        return [row for name in names for row in self._rows[name]]

    def _read_earlier(self) -> None:
        recorded, now = read_provenance(self.path), self.provenance.parameters
        if recorded.get("parameters_digest") != digest(now):
            before = recorded.get("parameters", {})
            other = [f"{name} {before.get(name)}" for name in now if before.get(name) != now[name]]
            fault = f"was made with other parameters: {', '.join(other) or 'more of them'}"
            raise InputError(self.path, fault, "delete it or give another --out")
        for row in read_rows(self.path):
            self._rows.setdefault(row[self.layout.name_column], []).append(row)
        for fact in ("made_of", "stats", "diverged", "unfinished", "seconds"):
            self.provenance.facts[fact] |= recorded.get(fact, {})
