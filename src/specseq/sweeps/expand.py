"""A sweep's named points and grids, as runs with readable ids."""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from specseq.errors import InputError
from specseq.sweeps.merge import merge, nest, resolve

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(_[A-Za-z0-9.-]+)*")


def axis(key: str, choices: Any, where: str) -> list[tuple[str, dict[str, Any]]]:
    """The values of one swept key as (label, parameters).

    A list sweeps values: numbers are labelled ``<key><value>``, words by themselves. A mapping sweeps whole
    settings under labels of their own.
    """
    if isinstance(choices, Mapping):
        return [(str(label), nest(key, value)) for label, value in choices.items()]
    if not isinstance(choices, list) or not choices:
        raise InputError(where, f"sweeps over {choices!r}", "give a list of values or a mapping label: value")
    short = key.rsplit(".", 1)[-1]
    return [
        (str(value) if isinstance(value, str) else f"{short}{value}", nest(key, value)) for value in choices
    ]


def expand_sweep(
    name: str, spec: Mapping[str, Any], values: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (run id within the study, the parameters this sweep sets) for every point of a sweep.

    Args:
        name: name of the sweep.
        spec: ``base`` (parameters of all points), ``runs`` (named points), ``over`` (a grid).
            A point's ``scales`` is the plan's business.
        values: the scale's values, for ``$name`` references.

    Raises:
        InputError: an empty axis, an unknown reference or a label that cannot be part of a path.
    """
    where = f"config.yaml: sweep {name}"
    base = resolve(spec.get("base", {}), values, f"{where}: base")
    points = spec.get("runs", [{}])
    axes = [
        axis(key, resolve(choices, values, f"{where}: over {key}"), f"{where}: over {key}")
        for key, choices in spec.get("over", {}).items()
    ]
    for point in points:
        named = [str(point["name"])] if "name" in point else []
        fixed = resolve(
            {key: value for key, value in point.items() if key not in ("name", "scales")}, values, where
        )
        for chosen in product(*axes):
            label = "_".join(named + [text for text, _ in chosen]) or "run"
            if not _PART.fullmatch(label) or not _PART.fullmatch(name):
                raise InputError(
                    where,
                    f"the run id '{name}/{label}' cannot be a path",
                    "use letters, digits, '.', '-', '_' in names and labels",
                )
            yield f"{name}/{label}", merge(base, fixed, *(setting for _, setting in chosen))
