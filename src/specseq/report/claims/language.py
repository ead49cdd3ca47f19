"""The language of ``workflow/studies/<study>/claims*.yaml``: claims, queries, relations, as typed settings.

Data only: nothing in it is ever run as code. docs/claims.md explains it with examples.
"""

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass, replace
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Discriminator, Tag

from specseq.errors import InputError
from specseq.report.claims.relations import Relation
from specseq.settings import STRICT, Field, dataclass, near

Verdict = Literal[
    "reproduced",
    "contradicted",
    "undecided",
    "not decidable at this scale",
    "not run",
    "inconsistent",
    "does not hold",
]
Kind = Literal["figures", "mechanism", "measured", "measured as published"]
Status = Literal["live", "superseded", "retracted"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
KINDS: tuple[Kind, ...] = get_args(Kind)
STATUSES: tuple[Status, ...] = get_args(Status)
Scalar = bool | int | float | str
Ends = tuple[str, str]
Span = tuple[float | None, float | None]
Text = Annotated[str, AfterValidator(lambda text: " ".join(text.split()))]
# The scale with the sizes, data and lengths of the notes.
PUBLISHED_SCALE = "paper"
ID = r"^[a-z0-9_{}.-]+$"


@dataclass(frozen=True, config=STRICT)
class Bounds:
    """A condition on a numeric column; both ends are included."""

    min: float | None = Field(default=None, description="least value")
    max: float | None = Field(default=None, description="largest value")


Condition = Scalar | tuple[Scalar, ...] | Bounds


@dataclass(frozen=True, config=STRICT)
class Query:
    """Rows of a result file; :mod:`specseq.report.claims.estimates` turns them into an estimate."""

    file: str = Field(description="path under the scale's result folder")
    where: Mapping[str, Condition] = Field(
        default_factory=dict, description="column -> value, list of values, or {min, max}"
    )
    value: str = Field(default="value", description="the column measured")
    over: tuple[str, ...] | None = Field(
        default=None,
        description="columns that tell replicates apart; if left out, those of task, dataset, config, seed "
        "that exist",
    )
    pick: Literal["mean", "first", "last", "min", "max"] = Field(
        default="mean",
        description="of several rows of one replicate; first and last by step, whether finite or not",
    )
    reduce: Literal["mean", "gmean"] = Field(
        default="mean", description="mean or geometric mean over replicates"
    )
    exact: bool = Field(default=False, description="the figure has no sampling error: a count, a closed form")
    constructed: bool = Field(
        default=False, description="rows of tests on constructed cases whose answers are known"
    )
    interval: Ends | Mapping[str, Ends] | Literal["rows"] | None = Field(
        default=None,
        description="two columns that hold the interval; or a column and the two of its values whose rows "
        "do; rows: those of the metrics <metric>_low and <metric>_high",
    )
    bounds: Span | None = Field(
        default=None,
        description="least and greatest value that the quantity can have; null where there is none",
    )
    windows: bool = Field(
        default=False,
        description="widen the interval by that over test windows: the rows <metric>_low, <metric>_high",
    )
    enough: Mapping[str, float] = Field(
        default_factory=dict, description="column -> least value for the row's interval to decide anything"
    )

    def __post_init__(self) -> None:
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts:
            raise InputError(
                "file", f"'{self.file}' leaves the results", "give a path under the scale's folder"
            )

    @property
    def ends_in_rows(self) -> Mapping[str, Ends] | None:
        """A column and the two values of it whose rows hold the ends of the interval; None if no rows do.

        Raises:
            InputError: rows should hold it, but the conditions name no metric.
        """
        if self.interval != "rows":
            return self.interval if isinstance(self.interval, Mapping) else None
        metric = self.where.get("metric")
        if not isinstance(metric, str):
            raise InputError("interval", "rows are those of one metric", "name the metric in where")
        return {"metric": (f"{metric}_low", f"{metric}_high")}


@dataclass(frozen=True, config=STRICT)
class Select:
    """A query as a quantity."""

    query: Query

    def resolved(self, queries: Mapping[str, Query]) -> "Select":
        """The quantity itself: it refers to no shared query."""
        return self


@dataclass(frozen=True, config=STRICT)
class Use:
    """A query from the file's ``queries``; what is given here replaces its parts, conditions are merged."""

    use: str
    where: Mapping[str, Condition] = Field(default_factory=dict)
    value: str | None = None
    over: tuple[str, ...] | None = None
    pick: Literal["mean", "first", "last", "min", "max"] | None = None
    exact: bool | None = None
    interval: Ends | None = None
    bounds: Span | None = None

    def resolved(self, queries: Mapping[str, Query]) -> Select:
        """The shared query with these changes.

        Raises:
            InputError: there is none of this name.
        """
        if self.use not in queries:
            raise InputError("use", f"no shared query '{self.use}'", near(self.use, queries))
        base = queries[self.use]
        named = {
            name: getattr(self, name) for name in ("value", "over", "pick", "exact", "interval", "bounds")
        }
        changes = {name: value for name, value in named.items() if value is not None}
        return Select(replace(base, where={**base.where, **self.where}, **changes))


def _kind(given: Any) -> str | None:
    """Name of the alternative that a quantity is: the one whose first field it has."""
    names = given if isinstance(given, Mapping) else vars(given) if is_dataclass(given) else ()
    return next((name for name in names if name in _QUANTITIES), None)


_QUANTITIES = ("arithmetic", "query", "use", "ratio", "percent", "difference", "trend")
Side = Annotated[
    Annotated[Select, Tag("query")] | Annotated[Use, Tag("use")],
    Discriminator(_kind, "side", "Input should be a query or the use of one"),
]


@dataclass(frozen=True, config=STRICT)
class Arithmetic:
    """A check of printed figures, from :mod:`specseq.report.claims.arithmetic` or a study's ``checks``."""

    arithmetic: str = Field(description="name of the check")
    of: Mapping[str, Any] = Field(
        default_factory=dict, description="its arguments; quoted figures keep their digits"
    )


@dataclass(frozen=True, config=STRICT)
class Ratio:
    """The ratio of two queries' geometric means, paired by replicate."""

    ratio: tuple[Side, Side]


@dataclass(frozen=True, config=STRICT)
class Percent:
    """The same as a change in per cent."""

    percent: tuple[Side, Side]


@dataclass(frozen=True, config=STRICT)
class Difference:
    """The difference of two queries' means, paired by replicate."""

    difference: tuple[Side, Side]


@dataclass(frozen=True, config=STRICT)
class Along:
    """A query and the column along which it is followed."""

    of: Side
    x: str


@dataclass(frozen=True, config=STRICT)
class Trend:
    """Spearman's rank correlation of a query's value with a column."""

    trend: Along


Quantity = Annotated[
    Annotated[Arithmetic, Tag("arithmetic")]
    | Annotated[Select, Tag("query")]
    | Annotated[Use, Tag("use")]
    | Annotated[Ratio, Tag("ratio")]
    | Annotated[Percent, Tag("percent")]
    | Annotated[Difference, Tag("difference")]
    | Annotated[Trend, Tag("trend")],
    Discriminator(_kind, "quantity", f"Input should be a quantity: {', '.join(_QUANTITIES)}"),
]


def resolved(quantity: Quantity, queries: Mapping[str, Query]) -> Quantity:
    """A quantity without references to shared queries.

    Raises:
        InputError: a shared query is unknown, or a trend's interval is held in rows.
    """
    match quantity:
        case Ratio(ratio=(a, b)):
            return Ratio((a.resolved(queries), b.resolved(queries)))
        case Percent(percent=(a, b)):
            return Percent((a.resolved(queries), b.resolved(queries)))
        case Difference(difference=(a, b)):
            return Difference((a.resolved(queries), b.resolved(queries)))
        case Trend(trend=along):
            of = along.of.resolved(queries)
            if of.query.ends_in_rows:
                raise InputError("trend", "its interval is in rows", "a trend needs intervals in columns")
            return Trend(Along(of, along.x))
        case Use() | Select():
            return quantity.resolved(queries)
    return quantity


def queries_of(quantity: Quantity) -> Iterator[Query]:
    """The queries of a resolved quantity."""
    match quantity:
        case Select(query=query):
            yield query
        case Ratio(ratio=sides) | Percent(percent=sides) | Difference(difference=sides):
            for side in sides:
                yield from queries_of(side)
        case Trend(trend=along):
            yield from queries_of(along.of)


def files(quantity: Quantity) -> list[str]:
    """The result files that a resolved quantity reads, relative to the scale's folder, each once."""
    return list(dict.fromkeys(query.file for query in queries_of(quantity)))


@dataclass(frozen=True, config=STRICT)
class Citation:
    """Reference to an outside record."""

    repository: str = Field(description="address, or owner/name on GitHub")
    revision: str = Field(description="commit, tag or version")
    file: str = Field(description="path in the repository")
    line: int = Field(ge=1, description="line of the record")
    says: Text = Field(description="what it says there")

    @property
    def text(self) -> str:
        """The citation in one line."""
        return f"{self.repository} at {self.revision}, {self.file}:{self.line}: {self.says}"


@dataclass(frozen=True, config=STRICT)
class Statement:
    """One figure or statement of a note, as the YAML gives it."""

    id: str = Field(pattern=ID, description="lower case, unique within the note")
    place: str = Field(description="its place in the note")
    statement: Text = Field(description="a sentence that can be true or false")
    quantity: Quantity = Field(description="what decides it")
    relation: Relation = Field(description="where the quantity must lie for the statement to hold")
    quote: Text = Field(default="", description="the note's own line, verbatim and short")
    ours: bool = Field(default=False, description="the note asks or does not state this: the test is ours")
    published: str | int | float = Field(default="", description="the figure as printed")
    scales: tuple[str, ...] = Field(
        default=(), description="scales whose sizes can decide it; all if left out"
    )
    status: Status = Field(
        default="live", description="superseded or retracted by the note's own author, or live"
    )
    fails: Literal["inconsistent", "contradicted"] = Field(
        default="inconsistent", description="verdict when arithmetic goes against it"
    )
    rests_on: Literal["figures", "mechanism"] | None = Field(
        default=None, description="what arithmetic rests on, where it is not what its check says"
    )
    family: str = Field(
        default="",
        description="name of the claims that are one search: their verdicts are corrected together",
    )
    consequences: tuple[Text, ...] = Field(
        default=(), description="what else of the note is wrong for the same reason; counted once, here"
    )
    cites: tuple[Citation, ...] = Field(default=(), description="outside records that it rests on")
    explain: Mapping[Verdict, Text] = Field(
        default_factory=dict,
        description="verdict -> paragraph; {measured}, {low}, {high}, {published} and {n} are filled in",
    )


@dataclass(frozen=True, config=STRICT)
class Template(Statement):
    """A statement for each row of a table; {column} stands for the row's cell."""

    only: Mapping[str, Scalar | tuple[Scalar, ...]] = Field(
        default_factory=dict, description="column -> value or values: the rows it is for"
    )
    each: Mapping[str, tuple[Scalar, ...]] = Field(
        default_factory=dict, description="name -> values: a claim for each of them"
    )


@dataclass(frozen=True, config=STRICT)
class Table:
    """A whole table of a note; every row goes through every template."""

    id: str = Field(pattern=ID, description="first part of its claims' ids")
    place: str = Field(description="the table's place in the note")
    columns: tuple[str, ...] = Field(description="names of the columns, for use as {name} in the templates")
    rows: str = Field(description="one row per line, cells separated by |, figures as printed")
    claims: tuple[Template, ...] = Field(description="templates")
    quote: str = Field(default="", description="the quote of each row's claims, as a template")


@dataclass(frozen=True, config=STRICT)
class Note:
    """The claims of one note."""

    note: str = Field(pattern="^[0-9]{3}$", description="its number, the first part of every claim's id")
    title: str = Field(description="what it is called")
    source: str = Field(default="", description="where the note is")
    queries: Mapping[str, Query] = Field(default_factory=dict, description="queries that several claims use")
    ungated: tuple[str, ...] = Field(
        default=(),
        description="patterns of metrics and columns that do not depend on what a model has learnt: claims "
        "on them stand whatever their baseline is worth",
    )
    claims: tuple[Statement, ...] = Field(default=(), description="single claims")
    tables: tuple[Table, ...] = Field(default=(), description="whole tables")
