"""Settings of forecasters and of evaluations on GIFT-Eval and FEV-Bench; importing them imports no NumPy."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from specseq.errors import InputError
from specseq.models.plugins import unknown
from specseq.settings import STRICT, Field, dataclass

Benchmark = Literal["gift_eval", "fev"]
ScoredBenchmark = Literal["gift_eval", "fev", "lsf", "monash"]
NAMES = {"gift_eval": "GIFT-Eval", "fev": "FEV-Bench", "lsf": "long-sequence forecasting", "monash": "Monash"}
Term = Literal["short", "medium", "long"]
Mode = Literal["self", "plug_in", "hybrid", "fir", "oracle"]


@dataclass(frozen=True, config=STRICT)
class ForecasterSettings:
    """The section ``forecaster`` of a run: who forecasts, and how it is loaded."""

    name: str | None = Field(
        default=None,
        description="seasonal_naive, naive, chronos2, a folder or hub id of Chronos-2 or MOIRAI, or a "
        "weights file.",
    )
    run: str | None = Field(
        default=None, description="A run whose weights forecast; {seed} stands for this run's seed."
    )
    context_length: int | None = Field(
        default=None, ge=1, description="Longest history given to a model, in steps."
    )
    batch_size: int | None = Field(default=None, ge=1, description="Windows that a model forecasts at once.")
    device: str | None = Field(default=None, description="Where a model runs, such as cpu or cuda.")

    def __post_init__(self) -> None:
        if (self.name is None) == (self.run is None):
            raise InputError("name", "a forecaster is given either by name or by run", "give one of them")
        if self.name is not None and (remedy := unknown(self.name)):
            raise InputError("name", f"{self.name}: no such forecaster, folder or weights file", remedy)

    @property
    def options(self) -> dict[str, Any]:
        """The options of loading that are set."""
        values = {name: getattr(self, name) for name in ("context_length", "batch_size", "device")}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, config=STRICT)
class EvaluationSettings:
    """The section ``evaluation`` of a run that forecasts: configs, filters and their reversals."""

    terms: tuple[Term, ...] = Field(
        default=get_args(Term), min_length=1, description="GIFT-Eval: terms to evaluate, all where left out."
    )
    only: tuple[str, ...] = Field(default=(), description="GIFT-Eval: data sets to keep, all where left out.")
    tasks: tuple[str, ...] = Field(
        default=(), description="FEV-Bench: tasks or data sets to keep, all where left out."
    )
    filters: tuple[str, ...] = Field(
        default=(),
        description="Names in the config's `filters`, applied to the contexts of a frozen forecaster.",
    )
    reversals: tuple[Mode, ...] = Field(
        default=(),
        description="How filters are undone: those of a frozen forecaster, or that which the model was "
        "trained with. The oracle uses the truth and is a diagnostic.",
    )
    other: ForecasterSettings | None = Field(
        default=None, description="Forecasts the lags of the reversal hybrid; given by name."
    )
    missing: Literal["skip", "zero"] = Field(
        default="zero",
        description="What a missing tap of `filters` means: no filter there (skip), or the context's mean.",
    )
    context_length: int | None = Field(
        default=None,
        ge=1,
        description="Longest history that the trained model is given, in steps; null: all that it takes. "
        "Other forecasters have their own.",
    )
    centre: bool = Field(
        default=True, description="Whether `filters` act on deviations from the context's mean."
    )

    def __post_init__(self) -> None:
        check_reversals(self.filters, self.reversals, self.other, self.missing, self.centre)


def check_reversals(
    filters: Any, reversals: tuple[Mode, ...], other: ForecasterSettings | None, missing: str, centre: bool
) -> None:
    """Refuse a combination of filters and reversals in which a setting would have no effect.

    Raises:
        InputError: names the setting.
    """
    if ("hybrid" in reversals) != (other is not None):
        raise InputError("other", "goes with the reversal hybrid", "give both or neither")
    if other is not None and other.run is not None:
        raise InputError("other.run", "this forecaster is given by name", "give other.name")
    if filters:
        if not reversals:
            raise InputError("filters", "have no effect without reversals", "add reversals")
        return
    if missing != "zero" or not centre:
        name = "centre" if missing == "zero" else "missing"
        raise InputError(name, "has no effect without filters", "leave it out")


@dataclass(frozen=True, config=STRICT)
class ScoreRequest:
    """Request of the stage ``evaluate`` and of ``specseq score``: forecaster, benchmark, data and output."""

    benchmark: ScoredBenchmark
    data: Annotated[Path, Field(description="Folder of the benchmark's data.")]
    out: Annotated[Path, Field(description="Parquet file of the result.")]
    forecaster: ForecasterSettings | None = Field(
        default=None, description="Who forecasts; left out where forecasts are given."
    )
    forecasts: Path | None = Field(
        default=None, description="Folder of forecasts that were made elsewhere, instead of a forecaster."
    )
    parts: Path | None = Field(
        default=None,
        description="Layout tidy: folder for what is done so far, from which a killed run resumes.",
    )
    layout: Literal["tidy", "published"] = Field(
        default="tidy",
        description="tidy: long rows of every filter and reversal; published: a row per config or task in "
        "the columns of the benchmark's published results.",
    )
    tasks: Path | None = Field(
        default=None, description="FEV-Bench: a tasks.yaml; that of data, or the 100 tasks."
    )
    terms: tuple[Term, ...] | None = Field(
        default=None, min_length=1, description="GIFT-Eval: all where left out."
    )
    only: tuple[str, ...] = Field(default=(), description="Data sets or tasks to keep; all where empty.")
    model: str | None = Field(
        default=None, description="Name in the result; the forecaster's own where left out."
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments of a forecaster given as package.module:Class."
    )
    filters: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Specifications of filters by name."
    )
    designed: Path | None = Field(
        default=None, description="Table of matched filters, made by the stage design."
    )
    reversals: tuple[Mode, ...] = ()
    other: ForecasterSettings | None = None
    missing: Literal["skip", "zero"] = "zero"
    centre: bool = True
    study: str = ""
    run: str = ""
    seed: int = -1

    def __post_init__(self) -> None:
        check_reversals(self.filters, self.reversals, self.other, self.missing, self.centre)
        if (self.forecaster is None) == (self.forecasts is None):
            raise InputError(
                "forecaster", "and forecasts exclude each other, and one is needed", "give one of them"
            )
        if self.forecasts is not None and (self.layout == "tidy" or self.arguments):
            fault = "that were made elsewhere are scored as they are"
            raise InputError("forecasts", fault, "use the layout published, without arguments")
        if self.forecaster is not None and self.forecaster.run is not None:
            raise InputError("forecaster.run", "a request names the weights", "give forecaster.name")
        if self.benchmark != "gift_eval" and self.terms is not None:
            raise InputError("terms", f"{NAMES[self.benchmark]} has no terms", "leave it out")
        if self.benchmark != "fev" and self.tasks is not None:
            raise InputError("tasks", f"{NAMES[self.benchmark]} has no tasks.yaml", "leave it out")
        if self.layout == "published" and self.parts is not None:
            raise InputError("parts", "published rows are kept in the file itself", "leave it out")
        if self.layout == "published" and (self.filters or self.reversals):
            raise InputError("layout", "published rows hold no filters", "use the layout tidy")
