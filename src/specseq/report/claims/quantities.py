"""The quantity language: what a claim's YAML may ask for. Data only, nothing in it is ever run as code.

A quantity is one of

* ``{arithmetic: NAME, of: {...}}``: a registered function of the note's own figures, exact but for the
  rounding of what is printed;
* ``{query: {...}}``: rows of a result file, see :mod:`specseq.report.claims.queries`;
* ``{ratio: [q, q]}``, ``{difference: [q, q]}``, ``{percent: [q, q]}``: two queries, paired row by row;
* ``{trend: {of: q, x: COLUMN}}``: Spearman's rank correlation of a query's value with a column.
"""

from collections.abc import Iterator
from typing import Any

from specseq.errors import InputError
from specseq.report.claims import arithmetic, estimates, queries
from specseq.report.claims.measured import Measured
from specseq.report.claims.queries import Folder

PAIRED = ("ratio", "difference", "percent")


def check_quantity(quantity: Any, where: str) -> None:
    """Refuse what cannot be evaluated, before anything is.

    Raises:
        InputError: unknown kind, function, argument or query key.
    """
    kind = _kind(quantity, where)
    body = quantity[kind]
    if kind == "arithmetic":
        arithmetic.check(body, quantity.get("of", {}), where)
    elif kind == "query":
        queries.check(body, where)
    elif kind == "trend":
        if not isinstance(body, dict) or set(body) != {"of", "x"}:
            raise InputError(where, "a trend takes 'of' and 'x'", "see workflow/claims/README.md")
        of = _query(body["of"], where)
        queries.check(of, where)
        if isinstance(of.get("interval"), dict):
            raise InputError(where, "a trend wants intervals in columns", "see workflow/claims/README.md")
    else:
        if not isinstance(body, list) or len(body) != 2:
            raise InputError(where, f"{kind} takes two queries", "give a list of two")
        for side in body:
            queries.check(_query(side, where), where)


def _kind(quantity: Any, where: str) -> str:
    known = ("arithmetic", "query", "trend", *PAIRED)
    kinds = [key for key in quantity if key in known] if isinstance(quantity, dict) else []
    if len(kinds) != 1 or set(quantity) - {kinds[0], "of"}:
        raise InputError(where, f"unknown quantity {quantity}", f"one of {', '.join(known)}")
    return kinds[0]


def _query(quantity: Any, where: str) -> dict[str, Any]:
    if _kind(quantity, where) != "query":
        raise InputError(where, "wants a query here", "see workflow/claims/README.md")
    return quantity["query"]


def files(quantity: Any) -> Iterator[str]:
    """The result files a quantity reads, relative to the scale's folder."""
    if isinstance(quantity, dict):
        if "query" in quantity:
            yield quantity["query"]["file"]
        else:
            for part in quantity.values():
                yield from files(part)
    elif isinstance(quantity, list):
        for part in quantity:
            yield from files(part)


def measure(quantity: Any, folder: Folder, name: str) -> Measured:
    """Evaluate a quantity.

    Args:
        quantity: checked before.
        folder: result files of one scale.
        name: the claim's id; its bootstrap stream.

    Raises:
        queries.Missing: a file or rows of it are not there.
    """
    kind = _kind(quantity, name)
    body = quantity[kind]
    if kind == "arithmetic":
        result = arithmetic.evaluate(body, quantity.get("of", {}))
        shown = ", ".join(f"{key}={_short(value)}" for key, value in quantity.get("of", {}).items())
        return Measured(result.value, result.low, result.high, True, 1, f"arithmetic: {body}({shown})")
    if kind == "query":
        return estimates.single(folder, body, name)
    if kind == "trend":
        return estimates.trend(folder, body["of"]["query"], body["x"], name)
    return estimates.paired(folder, body[0]["query"], body[1]["query"], kind, name)


def _short(value: Any) -> str:
    text = str(value).replace("'", "")
    return text if len(text) <= 80 else text[:77] + "..."
