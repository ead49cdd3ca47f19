"""The plan: every run of every study at a scale, with its resolved parameters."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from specseq.errors import InputError
from specseq.sweeps.expand import expand_sweep
from specseq.sweeps.merge import merge, resolve
from specseq.sweeps.validation import check_config, check_runs


class Plan:
    """Runs of a checked config.

    Attributes:
        config: the config as given.
        scales: names of the scales.
    """

    def __init__(self, config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
        """
        Args:
            config: content of ``config.yaml`` with overrides merged in.
            schema: content of ``workflow/schemas/config.schema.yaml``.

        Raises:
            InputError: a key, type or value is wrong, named with its place.
        """
        check_config(config, schema)
        self.config, self._schema = config, schema
        self.scales = tuple(config["scales"])
        self._data: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, dict[str, dict[str, Any]]] = {}

    def scale(self, name: str) -> Mapping[str, Any]:
        """The settings of one scale."""
        if name not in self.scales:
            raise InputError("config.yaml: scale", f"no scale is called '{name}'", f"known: {self.scales}")
        return self.config["scales"][name]

    def data(self, scale: str) -> dict[str, Any]:
        """Data sources and sizes of a scale."""
        if scale not in self._data:
            self._data[scale] = merge(self.config["data"], self.scale(scale).get("data", {}))
        return self._data[scale]

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

            near = difflib.get_close_matches(run, runs, n=3, cutoff=0.3) or list(runs)[:3]
            raise InputError(f"results/{scale}", f"no run is called '{run}'", f"nearest: {', '.join(near)}")
        return runs[run]

    def filter(self, name: str) -> Mapping[str, Any]:
        """The filter of this name in ``filters``.

        Raises:
            InputError: there is none.
        """
        filters: Mapping[str, Any] = self.config["filters"]
        if name not in filters:
            raise InputError(
                "config.yaml: filters", f"no filter is called '{name}'", f"known: {', '.join(filters)}"
            )
        return filters[name]

    def _expand(self, scale: str) -> dict[str, dict[str, Any]]:
        preset = self.scale(scale)
        values = preset.get("values", {})
        runs: dict[str, dict[str, Any]] = {}
        sets: list[tuple[str, dict[str, Any]]] = []
        for study, spec in self.config["studies"].items():
            layers = merge(spec.get("base", {}), preset.get("studies", {}).get(study, {}))
            base = resolve(layers, values, f"config.yaml: studies.{study}.base")
            for sweep, points in spec.get("sweeps", {}).items():
                if scale not in points.get("scales", self.scales):
                    continue
                points = self._points_at(scale, points)
                for label, setting in expand_sweep(sweep, points, values):
                    run = f"{study}/{label}"
                    if run in runs:
                        raise InputError("config.yaml", f"two runs are called '{run}'", "name them apart")
                    runs[run] = _with_seed({"study": study, **merge(base, setting)})
                    sets.append((run, runs[run]))
        check_runs(sets, self._schema)
        _check_baselines(runs, scale)
        return runs

    def _points_at(self, scale: str, sweep: Mapping[str, Any]) -> Mapping[str, Any]:
        """A sweep without the named points that leave this scale out."""
        if "runs" not in sweep:
            return sweep
        kept = [point for point in sweep["runs"] if scale in point.get("scales", self.scales)]
        return {**sweep, "runs": kept}


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
    try:
        config = read_yaml(config_file)
    except yaml.YAMLError as error:
        raise InputError(config_file, f"not readable YAML ({error})") from None
    return Plan(merge(config, overrides or {}), read_yaml(schema_file))


def read_yaml(path: Path) -> Any:
    """Plain YAML, by libyaml where it is there: that is some ten times faster, and configs can be long."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
