"""A sweep's named points and grids, as runs with readable ids."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from specseq.errors import InputError
from specseq.sweeps.merge import merge, nest

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(_[A-Za-z0-9.-]+)*")

Path = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Parameters that one place of the files gives to a run.

    Attributes:
        place: path of the place.
        prefix: where in the run the parameters stand; a swept key, or nothing.
        value: the parameters.
    """

    place: Path
    prefix: Path
    value: Any

    def find(self, key: Path) -> Path | None:
        """The path in the files that sets a parameter of the run, if this part does."""
        rest, value = key[len(self.prefix) :], self.value
        if key[: len(self.prefix)] != self.prefix:
            return None
        for step in rest:
            value = value.get(step) if isinstance(value, Mapping) else None
        return None if value is None else self.place + rest


def parameters(parts: Sequence[Part]) -> dict[str, Any]:
    """The parameters of a run; later parts win."""
    return merge(*(nest(part.prefix, part.value) for part in parts))


def axis(key: str, choices: Any, where: str) -> list[tuple[str, Any]]:
    """The values of one swept key as (label, value).

    A list sweeps values: numbers are labelled ``<key><value>``, words by themselves. A mapping sweeps whole
    settings under labels of their own.
    """
    if isinstance(choices, Mapping):
        return [(str(label), value) for label, value in choices.items()]
    if not isinstance(choices, list) or not choices:
        raise InputError(where, f"sweeps over {choices!r}", "give a list of values or a mapping label: value")
    short = key.rsplit(".", 1)[-1]
    return [(str(value) if isinstance(value, str) else f"{short}{value}", value) for value in choices]


def expand_study(study: str, spec: Mapping[str, Any]) -> Iterator[tuple[str, list[Part]]]:
    """Yield (run id, where its parameters come from) for every point of every sweep of a study.

    Args:
        study: its name.
        spec: ``base`` (parameters of all runs), ``over`` (axes of all sweeps that do not set them) and
            ``sweeps``, each with ``base``, ``runs`` (named points) and ``over`` (a grid).

    Raises:
        InputError: an empty axis, two runs of one name or a label that cannot be part of a path.
    """
    top = ("studies", study)
    for name, sweep in spec["sweeps"].items():
        place = (*top, "sweeps", name)
        base = [
            Part((*top, "base"), (), spec.get("base", {})),
            Part((*place, "base"), (), sweep.get("base", {})),
        ]
        own = sweep.get("over", {})
        inherited = {key: choices for key, choices in spec["over"].items() if key not in own}
        axes = [
            _axis_parts((*where, "over", key), key, choices)
            for where, grid in ((place, own), (top, inherited))
            for key, choices in grid.items()
            if choices is not None
        ]
        seen = set()
        for point, fixed in sweep.get("runs", {"": {}}).items():
            given = [*base, Part((*place, "runs", point), (), fixed)]
            for chosen in product(*axes):
                label = "_".join([str(point)] * bool(point) + [text for text, _ in chosen]) or "run"
                if not _PART.fullmatch(label) or not _PART.fullmatch(str(name)):
                    fault = f"the run id '{name}/{label}' cannot be a path"
                    raise InputError(
                        ".".join(place), fault, "use letters, digits, '.', '-', '_' in names and labels"
                    )
                if label in seen:
                    raise InputError(".".join(place), f"two runs are called '{label}'", "name them apart")
                seen.add(label)
                yield f"{study}/{name}/{label}", [*given, *(part for _, part in chosen)]


def _axis_parts(place: Path, key: str, choices: Any) -> list[tuple[str, Part]]:
    """Label and part of each value of an axis."""
    labelled = isinstance(choices, Mapping)
    return [
        (label, Part((*place, label) if labelled else place, tuple(key.split(".")), value))
        for label, value in axis(key, choices, ".".join(place))
    ]
