"""A sweep's named points and grids, as runs with readable ids."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from specseq.errors import InputError
from specseq.settings import shown
from specseq.sweeps.merge import merge, nest

# What file systems allow in one name, less the endings of files.
_LONGEST = 200
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
    if isinstance(choices, Mapping) and choices:
        return [(str(label), value) for label, value in choices.items()]
    if not isinstance(choices, list) or not choices:
        raise InputError(
            where, f"sweeps over {shown(choices)}", "give a list of values or a mapping label: value"
        )
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
            Part((*top, "base"), (), spec.get("base") or {}),
            Part((*place, "base"), (), sweep.get("base") or {}),
        ]
        own = sweep.get("over", {})
        inherited = {key: choices for key, choices in spec["over"].items() if key not in own}
        swept, shared = (
            [
                _axis_parts((*where, "over", key), key, choices)
                for key, choices in grid.items()
                if choices is not None
            ]
            for where, grid in ((place, own), (top, inherited))
        )
        axes = [*swept, *shared]
        _check_overwritten([part for axis in swept for _, part in axis], shared)
        seen: set[str] = set()
        if not sweep.get("runs", True):
            raise InputError(".".join((*place, "runs")), "leaves no run", "leave out the sweep: null")
        for point, fixed in sweep.get("runs", {"": {}}).items():
            given = [*base, Part((*place, "runs", point), (), fixed)]
            _check_overwritten(given[1:], shared)
            for chosen in product(*axes):
                label = "_".join([str(point)] * bool(point) + [text for text, _ in chosen]) or "run"
                if not _PART.fullmatch(label) or not _PART.fullmatch(str(name)):
                    fault = f"the run id '{name}/{label}' cannot be a path"
                    raise InputError(
                        ".".join(place), fault, "use letters, digits, '.', '-', '_' in names and labels"
                    )
                if len(label) > _LONGEST or len(str(name)) > _LONGEST:
                    fault = f"the run id '{name}/{label}'"
                    fault = f"{fault[:60]}...' has a part of more than {_LONGEST} characters"
                    raise InputError(".".join(place), fault, "give labels: {key: {label: value}}")
                # Some file systems take upper and lower case for the same.
                if label.casefold() in seen:
                    raise InputError(".".join(place), f"two runs are called '{label}'", "name them apart")
                seen.add(label.casefold())
                yield f"{study}/{name}/{label}", [*given, *(part for _, part in chosen)]


def _check_overwritten(own: Sequence[Part], inherited: Sequence[Sequence[tuple[str, Part]]]) -> None:
    """Refuse a value of a sweep in whose place an axis of its study would put another without a word.

    Settings that are swept whole are joined with those of the sweep instead.

    Raises:
        InputError: names the value and the axis.
    """
    for axis in inherited:
        swept = axis[0][1].prefix
        if all(isinstance(part.value, Mapping) for _, part in axis):
            continue
        for part in own:
            if (path := part.find(swept)) is not None:
                key = ".".join(swept)
                remedy = f"sweep it here, or end the sweep over it by over: {{{key}: null}}"
                raise InputError(".".join(path), f"is overwritten by the study's values of {key}", remedy)


def _axis_parts(place: Path, key: str, choices: Any) -> list[tuple[str, Part]]:
    """Label and part of each value of an axis."""
    labelled = isinstance(choices, Mapping)
    return [
        (label, Part((*place, label) if labelled else place, tuple(key.split(".")), value))
        for label, value in axis(key, choices, ".".join(place))
    ]
