"""Result files of a benchmark: rows in one of two layouts, kept by config or task so that scoring can go on.

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
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa

from specseq.errors import InputError
from specseq.filters import noise_gain
from specseq.filters.stability import spectral_radius
from specseq.scoring.evaluation import Evaluation
from specseq.scoring.reversal import Outcome, Variant
from specseq.scoring.steps import step_grid
from specseq.scoring.submissions import BENCHMARKS
from specseq.tables import Provenance, digest, long_table, read_parquet, read_provenance, write_parquet

KEYS = ("forecaster", "filter", "reversal", "spectral_radius", "noise_gain")

Row = dict[str, Any]
Outcomes = Mapping[Variant, Outcome]


class Layout(Protocol):
    """How outcomes become rows of a file."""

    @property
    def resumes(self) -> bool:
        """Whether the file may hold some of the rows, to go on from; it is written whole otherwise."""

    @property
    def name_column(self) -> str:
        """Column with the name of the config or task."""

    def rows(self, evaluation: Evaluation, outcomes: Outcomes) -> Iterator[Row]:
        """The rows of one config or task."""

    def table(self, rows: Sequence[Row]) -> pa.Table | pd.DataFrame:
        """What is written to the file."""


@dataclass(frozen=True)
class Tidy:
    """Long rows of every variant, with whose result they are."""

    benchmark: str
    study: str = ""
    run: str = ""
    seed: int = -1
    resumes = False
    name_column = "task"

    def rows(self, evaluation: Evaluation, outcomes: Outcomes) -> Iterator[Row]:
        """A row per variant and metric, and per variant and chosen horizon step."""
        columns = {column: name for name, column in BENCHMARKS[self.benchmark].metrics.items()}
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
                yield {**keys, "metric": columns[column], "value": value}
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
    """One row per config or task, named after the model; of a plain forecast."""

    benchmark: str
    model: str
    context_length: int | None = None
    resumes = True

    @property
    def name_column(self) -> str:
        """``config`` or ``task_name``."""
        return {"gift_eval": "config", "fev": "task_name"}[self.benchmark]

    def rows(self, evaluation: Evaluation, outcomes: Outcomes) -> Iterator[Row]:
        """The row of a config or task.

        Raises:
            InputError: the forecast diverged.
        """
        ((variant, outcome),) = outcomes.items()
        if outcome.diverged:
            raise InputError(evaluation.name, f"{variant.forecaster} diverged: {outcome.diverged}")
        row = {BENCHMARKS[self.benchmark].model_column or "model": self.model, **evaluation.facts()}
        if self.benchmark == "fev":
            error = outcome.values[row["eval_metric"]]
            row |= {"test_error": error, "trained_on_this_dataset": False}
        yield {**row, **outcome.values, "context_length": self.context_length, "basis": "raw"}

    def table(self, rows: Sequence[Row]) -> pd.DataFrame:
        """A frame whose column ``context_length`` may hold no number."""
        return pd.DataFrame(rows).astype({"context_length": "Int64"})


class ResultFile:
    """A result file that is written as it grows.

    Args:
        path: the Parquet file. Rows that it holds already are kept if the layout resumes.
        layout: of its rows.
        provenance: of the file; its parameters decide the numbers beside data and tasks.

    Raises:
        InputError: the file was made with other parameters.
    """

    def __init__(self, path: Path, layout: Layout, provenance: Provenance) -> None:
        self.path, self.layout, self.provenance = path, layout, provenance
        self._rows: dict[str, list[Row]] = {}
        self.provenance.facts |= {"made_of": {}, "diverged": {}}
        if layout.resumes and path.exists():
            self._read_earlier()

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def expect(self, evaluation: Evaluation) -> None:
        """Note what a config or task is made of.

        Raises:
            InputError: rows of it that the file holds were made of other data or another task.
        """
        made_of, now = self.provenance.facts["made_of"], json.loads(json.dumps(evaluation.settings()))
        earlier = made_of.get(evaluation.name, {}) if evaluation.name in self else now
        for field, value in now.items():
            if earlier.get(field) != value:
                fault = f"has {field} {earlier.get(field)}, the data and tasks have {value}"
                fault = "was made of other data files" if field == "files" else fault
                text = f"its row of {evaluation.name} {fault}"
                raise InputError(self.path, text, "delete it or give another --out")
        made_of[evaluation.name] = now

    def add(self, evaluation: Evaluation, outcomes: Outcomes) -> None:
        """Add the rows of a config or task."""
        self._rows[evaluation.name] = list(self.layout.rows(evaluation, outcomes))
        for variant, outcome in outcomes.items():
            if outcome.diverged:
                key = "/".join((evaluation.name, variant.filter, variant.reversal))
                self.provenance.facts["diverged"][key] = outcome.diverged

    def save(self) -> None:
        """Write all rows."""
        rows = [row for of_one in self._rows.values() for row in of_one]
        write_parquet(self.path, self.layout.table(rows), self.provenance)

    def frame(self, names: Sequence[str]) -> pd.DataFrame:
        """The rows of these configs or tasks."""
        table = self.layout.table([row for name in names for row in self._rows[name]])
        return table.to_pandas() if isinstance(table, pa.Table) else table

    def _read_earlier(self) -> None:
        recorded, now = read_provenance(self.path), self.provenance.parameters
        if recorded.get("parameters_digest") != digest(now):
            before = recorded.get("parameters", {})
            other = [f"{name} {before.get(name)}" for name in now if before.get(name) != now[name]]
            fault = f"was made with other parameters: {', '.join(other) or 'more of them'}"
            raise InputError(self.path, fault, "delete it or give another --out")
        for record in read_parquet(self.path).to_dict(orient="records"):
            row = {str(name): value for name, value in record.items()}
            self._rows.setdefault(row[self.layout.name_column], []).append(row)
        for fact in ("made_of", "diverged"):
            self.provenance.facts[fact] |= recorded.get(fact, {})
