"""The plan: every run of every study at a scale, with its resolved parameters."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.settings import near
from specseq.sweeps.expand import Part, expand_study, parameters
from specseq.sweeps.layers import Layer, lay, read_yaml, scale_layers, setters, study_layers
from specseq.sweeps.merge import merge
from specseq.sweeps.validation import check_config, check_runs


class Plan:
    """Runs of a checked config.

    Attributes:
        config: the config as given.
        scales: names of the scales.
    """

    def __init__(
        self, config: Mapping[str, Any], schema: Mapping[str, Any], root: Path | None = None
    ) -> None:
        """
        Args:
            config: content of ``config.yaml`` with overrides merged in.
            schema: content of ``workflow/schemas/config.schema.yaml``.
            root: folder of the workflow, whose ``workflow/studies`` and ``workflow/scales`` are read; none
                where the config holds everything.

        Raises:
            InputError: a key, type or value is wrong, named with its place.
        """
        self.config, self._schema = config, schema
        self._studies = study_layers(root) if root else []
        self._scale_files = scale_layers(root) if root else {}
        own = config.get("scales") or {}
        self.scales = tuple(dict.fromkeys([*self._scale_files, *own]))
        check_config(config, schema)
        self.scale_layers(config["scale"])
        self._whole: dict[str, dict[str, Any]] = {}
        self._parts: dict[str, dict[str, Sequence[Part]]] = {}
        self._runs: dict[str, dict[str, dict[str, Any]]] = {}

    def scale_layers(self, scale: str) -> list[Layer]:
        """All that decides the plan at a scale, the strongest last.

        Raises:
            InputError: no scale is called so.
        """
        own = self.config.get("scales") or {}
        if scale not in self.scales:
            raise InputError(
                "config.yaml: scale", f"'{scale}' is not among the scales", near(scale, self.scales)
            )
        file = [self._scale_files[scale]] if scale in self._scale_files else []
        mine = [Layer("config.yaml", own[scale] or {}, False, f"scales.{scale}.")] if scale in own else []
        return [*self._studies, *file, Layer("config.yaml", self.config), *mine]

    def whole(self, scale: str) -> dict[str, Any]:
        """``studies``, ``data`` and ``filters`` at a scale, all files laid over each other."""
        if scale not in self._whole:
            self._whole[scale] = lay(self.scale_layers(scale))
        return self._whole[scale]

    def data(self, scale: str) -> dict[str, Any]:
        """Data sources and sizes of a scale."""
        data: dict[str, Any] = self.whole(scale)["data"]
        return data

    def studies(self, scale: str) -> dict[str, Any]:
        """The studies at a scale with their sweeps."""
        studies: dict[str, Any] = self.whole(scale)["studies"]
        return studies

    @cached_property
    def filters(self) -> dict[str, Any]:
        """Filters by name, the same at all scales."""
        filters: dict[str, Any] = lay([*self._studies, Layer("config.yaml", self.config)])["filters"]
        return filters

    @cached_property
    def study_names(self) -> tuple[str, ...]:
        """The studies of the files and the config."""
        return tuple(lay([*self._studies, Layer("config.yaml", self.config)])["studies"])

    def runs(self, scale: str) -> dict[str, dict[str, Any]]:
        """All runs of a scale: ``{"study/sweep/point": parameters}``."""
        if scale not in self._runs:
            self._runs[scale] = self._expand(scale)
        return self._runs[scale]

    def study_runs(self, scale: str, study: str) -> dict[str, dict[str, Any]]:
        """The runs of one study."""
        return {run: spec for run, spec in self.runs(scale).items() if spec["study"] == study}

    def declared(self) -> dict[str, set[str]]:
        """The runs of each scale, each with and without its seed."""
        runs = {scale: set(self.runs(scale)) for scale in self.scales}
        return {scale: own | {without_seed(run) for run in own} for scale, own in runs.items()}

    def run(self, scale: str, run: str) -> dict[str, Any]:
        """Parameters of one run.

        Raises:
            InputError: no run has this id; the message names the nearest.
        """
        runs = self.runs(scale)
        if run not in runs:
            import difflib

            close = difflib.get_close_matches(run, runs, n=3, cutoff=0.3) or list(runs)[:3]
            raise InputError(f"results/{scale}", f"no run is called '{run}'", f"nearest: {', '.join(close)}")
        return runs[run]

    def origin(self, scale: str, run: str, key: tuple[str, ...]) -> tuple[str, str]:
        """The file that sets a parameter of a run, and the place in it."""
        self.run(scale, run)
        for part in reversed(self._parts[scale][run]):
            if (path := part.find(key)) is not None:
                *_, file = setters(self.scale_layers(scale), path)
                return file, ".".join(path[2:])
        return "", ""

    def filter(self, name: str) -> Mapping[str, Any]:
        """The filter of this name.

        Raises:
            InputError: there is none.
        """
        filters = self.filters
        if name not in filters:
            raise InputError("filters", f"no filter is called '{name}'", near(name, filters))
        filter_: Mapping[str, Any] = filters[name]
        return filter_

    def _expand(self, scale: str) -> dict[str, dict[str, Any]]:
        self._parts[scale] = {
            run: parts
            for study, spec in self.studies(scale).items()
            for run, parts in expand_study(study, spec)
        }
        runs = {
            run: _with_seed({"study": run.partition("/")[0], **parameters(parts)})
            for run, parts in self._parts[scale].items()
        }
        check_runs(runs.items(), self._schema)
        _check_baselines(runs, scale)
        return runs


def without_seed(run: str) -> str:
    """The name that all seeds of a run share."""
    return re.sub(r"[_/]seed\d+$", "", run)


def _check_baselines(runs: Mapping[str, Mapping[str, Any]], scale: str) -> None:
    """Every run that a run is compared with, named without its seed, must be there at the same scale."""
    groups = {without_seed(run) for run in runs}
    for run, spec in runs.items():
        if "baseline" in spec and spec["baseline"] not in groups:
            fault = f"no run of the scale {scale} is called '{spec['baseline']}'"
            raise InputError(f"config.yaml: run {run}: baseline", fault, "name one without its seed")


def _with_seed(spec: dict[str, Any]) -> dict[str, Any]:
    """Name the runs that a run refers to: ``{seed}`` in ``initial.run`` and ``forecaster.run`` is its own."""
    for key in ("initial", "forecaster"):
        section = spec.get(key)
        if isinstance(section, dict) and isinstance(section.get("run"), str):
            section["run"] = section["run"].replace("{seed}", str(spec.get("seed", "")))
    return spec


def load_plan(root: Path = Path(), overrides: Mapping[str, Any] | None = None) -> Plan:
    """The plan of the workflow in ``root``, read from its config.yaml and schema."""
    config_file = root / "config.yaml"
    schema_file = root / "workflow" / "schemas" / "config.schema.yaml"
    for path in (config_file, schema_file):
        if not path.is_file():
            raise InputError(path, "not found", "run this from the root of the workflow")
    return Plan(merge(read_yaml(config_file), overrides or {}), read_yaml(schema_file), root)
