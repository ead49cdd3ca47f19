"""From ``workflow/claims/*.yaml`` to claims: validation, shared queries, and whole tables as templates."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from specseq.errors import InputError
from specseq.report.claims.quantities import check_quantity
from specseq.report.claims.schema import Claim, read_relation

# Filled in when the verdict is known, so a table's template leaves them alone.
LATER = frozenset({"measured", "low", "high", "published", "n"})
_FIELD = re.compile(r"\{(\w+)\}")


def load(folder: str | Path, schema: str | Path | None = None) -> list[Claim]:
    """Read every note's claims.

    Args:
        folder: folder of YAML files, one a note.
        schema: JSON schema as YAML; by default ``../schemas/claims.schema.yaml`` from the folder.

    Raises:
        InputError: a file is missing or malformed, a key unknown, an id taken, a quantity not understood.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise InputError(folder, "holds no claims", "give the folder of the notes' YAML files")
    rules = _read(Path(schema) if schema else folder.parent / "schemas" / "claims.schema.yaml")
    claims = [claim for path in files for claim in _note(path, _read(path), rules)]
    taken: dict[str, str] = {}
    for claim in claims:
        if claim.id in taken:
            raise InputError(claim.source, f"id '{claim.id}' is already in {taken[claim.id]}", "rename one")
        taken[claim.id] = claim.source
    return claims


@cache
def _parsed(path: Path, stamp: int) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)


def _read(path: Path) -> Any:
    try:
        return _parsed(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise InputError(path, "no such file", "give the folder of the notes' YAML files") from None
    except yaml.YAMLError as error:
        raise InputError(path, f"not YAML ({error})", "correct the line named") from None


def _note(path: Path, content: Any, rules: Mapping[str, Any]) -> Iterator[Claim]:
    _validate(path, content, rules)
    shared = content.get("queries", {})
    prefix = content["note"]
    for spec in content.get("claims", []):
        yield _claim(spec, prefix, path, shared)
    for table in content.get("tables", []):
        for spec in _expand(table, path):
            yield _claim(spec, prefix, path, shared)


def _validate(path: Path, content: Any, rules: Mapping[str, Any]) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(rules).iter_errors(content))
    if error:
        place = "/".join(str(part) for part in error.absolute_path) or "top level"
        raise InputError(path, f"{place}: {error.message}", "see workflow/claims/README.md")


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


def _expand(table: Mapping[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    """Every row of a table (and every value of ``each``) through every template."""
    for row in _rows(table, path):
        for template in table["claims"]:
            wanted = {
                name: [str(v) for v in _listed(values)] for name, values in template.get("only", {}).items()
            }
            if any(row.get(name) not in values for name, values in wanted.items()):
                continue
            each = template.get("each", {})
            for combination in product(*each.values()):
                fields = {**row, **dict(zip(each, combination, strict=True))}
                body = {key: value for key, value in template.items() if key not in ("only", "each")}
                made = _fill(body, fields, f"{path}: table '{table['id']}'")
                made["id"] = f"{table['id']}.{made['id']}"
                made["place"] = f"{table['place']}, {made['place']}"
                yield made


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
        if name in LATER:
            return match[0]
        raise InputError(where, f"no column '{name}'", f"known: {', '.join(fields)}")

    return _FIELD.sub(cell, value)


def _resolve(quantity: Any, shared: Mapping[str, Any], where: str) -> Any:
    """Replace ``{use: name, where: {...}}`` by the shared query of that name, conditions merged in."""
    if isinstance(quantity, list):
        return [_resolve(part, shared, where) for part in quantity]
    if not isinstance(quantity, dict):
        return quantity
    if "use" not in quantity:
        return {key: _resolve(value, shared, where) for key, value in quantity.items()}
    name = quantity["use"]
    if name not in shared:
        raise InputError(where, f"no shared query '{name}'", f"known: {', '.join(shared)}")
    extra = {key: value for key, value in quantity.items() if key != "use"}
    base = shared[name]
    return {"query": {**base, **extra, "where": {**base.get("where", {}), **extra.get("where", {})}}}


def _claim(spec: Mapping[str, Any], note: str, path: Path, shared: Mapping[str, Any]) -> Claim:
    where = f"{path}: {note}.{spec['id']}"
    quantity = _resolve(spec["quantity"], shared, where)
    check_quantity(quantity, where)
    return Claim(
        id=f"{note}.{spec['id']}",
        note=note,
        place=spec["place"],
        statement=" ".join(spec["statement"].split()),
        published=str(spec.get("published", "")),
        quantity=quantity,
        relation=read_relation(spec["relation"], where),
        scales=tuple(spec.get("scales", ())),
        status=spec.get("status", "live"),
        fails=spec.get("fails", "inconsistent"),
        explain={verdict: " ".join(text.split()) for verdict, text in spec.get("explain", {}).items()},
        source=path.name,
    )
