"""From the notes' YAML files to claims: validation, whole tables through templates, checks by name."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

from specseq.errors import InputError
from specseq.report.claims import arithmetic
from specseq.report.claims.language import (
    PUBLISHED_SCALE,
    Arithmetic,
    Kind,
    Note,
    Quantity,
    Statement,
    Verdict,
    queries_of,
    resolved,
)
from specseq.report.claims.relations import Region
from specseq.report.claims.rounding import Range
from specseq.settings import near, read
from specseq.yaml_files import read_yaml

Check = Callable[..., Range]

# Filled in when the verdict is known, so a table's template leaves them alone.
_LATER = frozenset({"measured", "low", "high", "published", "n"})
# Verdicts against a statement; a claim can have one of them.
_FAILING = frozenset({"contradicted", "inconsistent", "does not hold"})
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Claim:
    """One figure or statement of a note, ready to be judged.

    Attributes:
        note: number of the note; first part of ``id``.
        spec: what the YAML file ``source`` says about it.
        quantity: what decides it, shared queries put in.
        region: where the quantity must lie.
        compute: the result of an arithmetic quantity; None for others.
        family: name of the search that it belongs to, such as all claims of one template; empty for none.
        ungated: patterns of metrics and columns that do not depend on what a model has learnt.
    """

    id: str
    note: str
    spec: Statement
    quantity: Quantity
    region: Region
    compute: Callable[[], Range] | None
    source: str
    family: str = ""
    ungated: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, spec: Statement, note: Note, checks: Mapping[str, Check], source: str, family: str = ""
    ) -> "Claim":
        """A claim of a note; ``family`` is the search that it is part of, if the statement names none.

        Raises:
            InputError: a shared query or a check is unknown, arguments do not fit the check, a run of any
                size would decide a printed figure, or a verdict is explained that the claim cannot have.
        """
        try:
            quantity = resolved(spec.quantity, note.queries)
            compute = _bound(quantity, checks) if isinstance(quantity, Arithmetic) else None
            _check_scales(spec, quantity)
        except InputError as error:
            where = f"{source}: {note.note}.{spec.id}.quantity.{error.where}"
            raise InputError(where, error.fault, error.remedy) from None
        search = f"{note.note}.{spec.family or family}" if spec.family or family else ""
        name, region = f"{note.note}.{spec.id}", spec.relation.region
        claim = cls(name, note.note, spec, quantity, region, compute, source, search, note.ungated)
        kinds: tuple[Kind, ...] = ("measured", "measured as published")
        failing = {claim.against(kind) for kind in (kinds if claim.kind == "measured" else (claim.kind,))}
        for verdict in spec.explain:
            if verdict in _FAILING - failing:
                fault = f"explains '{verdict}', which it cannot become"
                raise InputError(f"{source}: {name}.explain", fault, f"say '{min(failing)}'")
        return claim

    @property
    def study(self) -> str:
        """The study whose folder its file lies in."""
        return Path(self.source).parent.name

    def against(self, kind: Kind) -> Verdict:
        """The verdict if evidence of this kind contradicts the statement.

        Held against a note is only what it states, and not by runs of another size or on other data.
        """
        if self.spec.ours or kind == "measured":
            return "does not hold"
        return self.spec.fails if self.compute else "contradicted"

    @property
    def kind(self) -> Kind:
        """The kind of evidence for its verdict, before the size of what was measured is known."""
        if self.compute is not None:
            general = getattr(self.compute, "func", None) in vars(arithmetic).values()
            return self.spec.rests_on or ("figures" if general else "mechanism")
        constructed = all(query.constructed for query in queries_of(self.quantity))
        return self.spec.rests_on or ("mechanism" if constructed else "measured")


def load(files: Iterable[Path], checks: Iterable[ModuleType] = ()) -> list[Claim]:
    """Read the notes' claims from a YAML file for each, in the order of the notes.

    Claims may name the public functions of ``checks`` beside the general ones.

    Raises:
        InputError: a file is missing or malformed, a key unknown, an id taken, a quantity not understood.
    """
    named = checks_of([arithmetic, *checks])
    notes = sorted(((path, *_read(path)) for path in files), key=lambda found: found[1].note)
    if not notes:
        raise InputError(
            "claims", "there are no claim files", "run where workflow/studies is, or give --claims"
        )
    claims = [claim for path, note, content in notes for claim in _claims(path, note, content, named)]
    taken: dict[str, str] = {}
    for claim in claims:
        if claim.id in taken:
            raise InputError(claim.source, f"id '{claim.id}' is already in {taken[claim.id]}", "rename one")
        taken[claim.id] = claim.source
    return claims


def checks_of(modules: Iterable[ModuleType]) -> dict[str, Check]:
    """The public functions that the modules define, by name."""
    return {
        name: function
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and name[0] != "_"
    }


@cache
def _parsed(path: Path, stamp: int) -> tuple[Note, Any]:
    content = read_yaml(path)
    return read(Note, content, f"{path}:"), content


def _read(path: Path) -> tuple[Note, Any]:
    try:
        return _parsed(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise InputError(path, "no such file", "give the notes' YAML files") from None


def _check_scales(spec: Statement, quantity: Quantity) -> None:
    """Refuse a claim in which a run of other than the published size would decide a printed figure."""
    relation = spec.relation
    figure = relation.rounds_to is not None or (relation.about is not None and bool(spec.published))
    measured = not isinstance(quantity, Arithmetic) and spec.rests_on is None
    if measured and figure and set(spec.scales) != {PUBLISHED_SCALE}:
        fault = "a run of any size would decide a printed figure"
        raise InputError("scales", fault, f"give scales: [{PUBLISHED_SCALE}]")


def _claims(path: Path, note: Note, content: Any, checks: Mapping[str, Check]) -> Iterator[Claim]:
    for spec in note.claims:
        yield Claim.of(spec, note, checks, str(path))
    for table in content.get("tables", []):
        for filled, template in _expand(table, path):
            spec = read(Statement, filled, f"{path}: {filled['id']}")
            yield Claim.of(spec, note, checks, str(path), template)


def _bound(quantity: Arithmetic, checks: Mapping[str, Check]) -> Callable[[], Range]:
    name = quantity.arithmetic
    if name not in checks:
        raise InputError("arithmetic", f"unknown check '{name}'", near(name, checks))
    try:
        inspect.signature(checks[name]).bind(**quantity.of)
    except TypeError as error:
        raise InputError("of", f"{name}: {error}", f"it takes {inspect.signature(checks[name])}") from None
    return partial(checks[name], **quantity.of)


def _rows(table: Mapping[str, Any], path: Path) -> Iterator[dict[str, str]]:
    columns = table["columns"]
    for line in table["rows"].strip().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != len(columns):
            fault = (
                f"table '{table['id']}': {len(cells)} cells for {len(columns)} columns in '{line.strip()}'"
            )
            raise InputError(path, fault, "separate cells by |")
        yield dict(zip(columns, cells, strict=True))


def _expand(table: Mapping[str, Any], path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Every row of a table (and every value of ``each``) through every template, and the template's name."""
    for row in _rows(table, path):
        for template in table["claims"]:
            chosen = {
                name: [str(v) for v in _listed(values)] for name, values in template.get("only", {}).items()
            }
            if any(row.get(name) not in values for name, values in chosen.items()):
                continue
            each = template.get("each", {})
            for combination in product(*each.values()):
                fields = {**row, **dict(zip(each, combination, strict=True))}
                body = {"quote": table.get("quote", "")}
                body |= {key: value for key, value in template.items() if key not in ("only", "each")}
                filled = _fill(body, fields, f"{path}: table '{table['id']}'")
                filled["id"] = f"{table['id']}.{filled['id']}"
                filled["place"] = f"{table['place']}, {filled['place']}"
                yield filled, f"{table['id']}.{template['id']}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _fill(value: Any, fields: Mapping[str, Any], where: str) -> Any:
    """Put a row's cells into a template. Text that is one field alone takes the cell itself."""
    if isinstance(value, dict):
        return {_fill(key, fields, where): _fill(entry, fields, where) for key, entry in value.items()}
    if isinstance(value, list):
        return [_fill(entry, fields, where) for entry in value]
    if not isinstance(value, str):
        return value
    alone = _FIELD.fullmatch(value)
    if alone and alone[1] in fields:
        return fields[alone[1]]

    def cell(match: re.Match[str]) -> str:
        name = match[1]
        if name in fields:
            return str(fields[name])
        if name in _LATER:
            return match[0]
        raise InputError(where, f"no column '{name}'", near(name, fields))

    return _FIELD.sub(cell, value)
