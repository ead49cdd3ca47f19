"""The plan at one scale: layers laid over each other, and the runs that come out."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from specseq.errors import InputError
from specseq.settings import near, plain, read
from specseq.sweeps.expand import Part, expand_study, parameters
from specseq.sweeps.layers import Layer, lay, place_of

_STUDY_KEYS = ("base", "over", "sweeps")
_SWEEP_KEYS = ("about", "base", "runs", "over")


@dataclass(frozen=True)
class Kinds:
    """Settings classes of all that a plan holds.

    Attributes:
        studies: the studies by name; each has ``run``, the class of a run, and ``settings``, those of its
            further sections.
        data: class of the section ``data``.
        filter: type of an entry of ``filters``.
        resources: type of the entries of ``resources``: what a rule asks for.
        rules: names of the rules that ask for resources.
    """

    studies: Mapping[str, Any]
    data: Any
    filter: Any
    resources: Any = dict[str, Any]
    rules: Collection[str] = ()


class ScalePlan:
    """The plan at one scale."""

    def __init__(self, scale: str, layers: Sequence[Layer], kinds: Kinds) -> None:
        """Lay layers over each other, the strongest last.

        Raises:
            InputError: a layer changes what is not there, or names no study.
        """
        self.scale, self._layers, self._kinds = scale, layers, kinds
        whole = lay(layers)
        self.studies: dict[str, Any] = whole["studies"]
        self.filters: dict[str, Any] = whole["filters"]
        self._data: dict[str, Any] = whole["data"]
        self._resources: dict[str, Any] = whole["resources"]
        for name in self.studies:
            if name not in kinds.studies:
                raise InputError(
                    place_of(layers, ("studies", name)), "no such study", near(name, kinds.studies)
                )

    @cached_property
    def data(self) -> dict[str, Any]:
        """Data sources and sizes, with the defaults of sections that no layer gives."""
        settings = self.read(self._kinds.data, self._data, ("data",))
        values = {field.name: getattr(settings, field.name) for field in fields(settings)}
        return {
            name: value if isinstance(value, str) else self._data.get(name, plain(value))
            for name, value in values.items()
        }

    @cached_property
    def resources(self) -> dict[str, Any]:
        """Resources of rules: study, or ``all`` -> rule -> settings as they are given.

        Raises:
            InputError: a setting is wrong.
        """
        self._known(self._resources, ("resources",), (*self._kinds.studies, "all"))
        for study, rules in self._resources.items():
            place = ("resources", study)
            if study == "all":
                self.read(self._kinds.resources, rules, place)
                continue
            self._known(self.read(dict[str, Any], rules, place), place, self._kinds.rules)
            for rule, given in rules.items():
                self.read(self._kinds.resources, given, (*place, rule))
        return self._resources

    @cached_property
    def parts(self) -> dict[str, Sequence[Part]]:
        """Sources of each run's parameters."""
        parts: dict[str, Sequence[Part]] = {}
        for study, spec in self.studies.items():
            sections = self._kinds.studies[study].settings
            self._known(spec, ("studies", study), (*_STUDY_KEYS, *sections))
            for name in sections.keys() & spec.keys():
                self.read(sections[name], spec[name], ("studies", study, name))
            for sweep, points in spec["sweeps"].items():
                place = ("studies", study, "sweeps", sweep)
                self._known(points, place, _SWEEP_KEYS)
                self.read(str | None, points.get("about"), (*place, "about"))
            try:
                parts |= expand_study(study, spec)
            except InputError as error:
                where = place_of(self._layers, error.where.split("."))
                raise InputError(where, error.fault, error.remedy) from None
        return parts

    @cached_property
    def runs(self) -> dict[str, dict[str, Any]]:
        """All runs: ``{"study/sweep/point": parameters}``.

        Raises:
            InputError: a parameter is wrong, or a run that another begins from or is compared with is none.
        """
        runs = {
            run: _with_seed({"study": run.partition("/")[0], **parameters(parts)})
            for run, parts in self.parts.items()
        }
        groups = {without_seed(run) for run in runs}
        seen = set()
        for run, spec in runs.items():
            # Runs that differ by their seed alone are read once, so that thousands of runs cost little.
            seed = spec.get("seed")
            token = json.dumps({**spec, "seed": type(seed) is int and seed >= 0}, sort_keys=True)
            if token not in seen:
                self._check(run, spec)
                seen.add(token)
            self._check_named(run, ("baseline",), spec.get("baseline"), groups)
            initial = spec.get("initial")
            self._check_named(run, ("initial", "run"), isinstance(initial, dict) and initial.get("run"), runs)
        return runs

    def place(self, run: str, key: tuple[str, ...]) -> str:
        """The file that sets a parameter of a run, or the nearest section of it, and the place in it."""
        for length in range(len(key), 0, -1):
            for part in reversed(self.parts[run]):
                if (path := part.find(key[:length])) is not None:
                    return place_of(self._layers, path)
        return ""

    def sources(self, path: tuple[str, ...]) -> list[tuple[Layer, Any]]:
        """Each layer that sets a path, if to null, the weakest first, and its value."""
        found = []
        for layer in self._layers:
            section: Any = layer.content
            for key in path[:-1]:
                section = section.get(key) if isinstance(section, Mapping) else None
            if isinstance(section, Mapping) and path[-1] in section:
                found.append((layer, section[path[-1]]))
        return found

    def read(self, kind: Any, given: Any, path: tuple[str, ...]) -> Any:
        """Settings from a part of the plan.

        Raises:
            InputError: something is wrong; names the file that sets it.
        """
        try:
            return read(kind, given, ".".join(path))
        except InputError as error:
            where = place_of(self._layers, error.where.split("."))
            raise InputError(where, error.fault, error.remedy) from None

    def _check(self, run: str, spec: Mapping[str, Any]) -> None:
        """Read a run's parameters; faults name the run and the file that sets them."""
        try:
            read(self._kinds.studies[spec["study"]].run, spec, "")
        except InputError as error:
            key = error.where.strip(".")
            file = self.place(run, tuple(key.split("."))).partition(": ")[0]
            where = ": ".join(part for part in (file, f"run {run}", key) if part)
            raise InputError(where, error.fault, error.remedy) from None

    def _check_named(self, run: str, key: tuple[str, ...], named: Any, known: Collection[str]) -> None:
        """Refuse that a run refers to a run of another study, or to none."""
        if not named:
            return
        fault, study = "", run.partition("/")[0]
        if named not in known:
            fault = f"no run of the scale {self.scale} is called '{named}'"
        elif named.partition("/")[0] != study:
            fault = f"'{named}' is of another study"
        if fault:
            others = [other for other in known if other.partition("/")[0] == study and other != run]
            raise InputError(self.place(run, key), fault, near(named, others))

    def _known(self, given: Mapping[str, Any], path: tuple[str, ...], keys: Collection[str]) -> None:
        for key in given:
            if key not in keys:
                raise InputError(place_of(self._layers, (*path, key)), "unknown key", near(key, keys))


def without_seed(run: str) -> str:
    """The name that all seeds of a run share."""
    return re.sub(r"[_/]seed\d+$", "", run)


def _with_seed(spec: dict[str, Any]) -> dict[str, Any]:
    """Name the runs that a run refers to: its seed replaces ``{seed}`` in ``initial`` and ``forecaster``."""
    for key in ("initial", "forecaster"):
        section = spec.get(key)
        if isinstance(section, dict) and isinstance(section.get("run"), str):
            section["run"] = section["run"].replace("{seed}", str(spec.get("seed", "")))
    return spec
