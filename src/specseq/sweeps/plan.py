"""The plan: every run of every study at every scale, with its resolved parameters."""

import difflib
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.settings import near
from specseq.sweeps.files import Config
from specseq.sweeps.layers import Layer, of_scale, scale_files, scale_layer, study_layers
from specseq.sweeps.scale import Kinds, ScalePlan, without_seed

_SCALE = re.compile(r"[a-z][a-z0-9_]*")


class Plan:
    """Runs of a config, at each of its ``scales``."""

    def __init__(self, config: Config, kinds: Kinds, root: Path | None = None) -> None:
        """Read the studies and the names of the scales, from ``workflow`` below ``root`` if there is one.

        Raises:
            InputError: the scale of the config is unknown, or a scale's name cannot be one.
        """
        self.config, self._kinds = config, kinds
        self._files = study_layers(root) if root else []
        self._root = root
        self._overlays = scale_files(root) if root else {}
        self._own: Mapping[str, Any] = config.content.get("scales") or {}
        self.scales = tuple(dict.fromkeys([*self._overlays, *self._own]))
        self._at: dict[str, ScalePlan] = {}
        for scale in self.scales:
            if not _SCALE.fullmatch(scale):
                own = f"{config.source(('scales', scale))}: scales.{scale}"
                where = own if scale in self._own else f"workflow/scales/{scale}.yaml"
                raise InputError(where, "cannot be the name of a scale", "use a-z, 0-9 and _, a letter first")
        if self.default not in self.scales:
            where = f"{config.source(('scale',))}: scale"
            raise InputError(
                where, f"'{self.default}' is not among the scales", near(self.default, self.scales)
            )

    @property
    def default(self) -> str:
        """The scale of the config."""
        return str(self.config.content["scale"])

    def at(self, scale: str) -> ScalePlan:
        """The plan at one scale.

        Raises:
            InputError: there is no such scale, or something is wrong with it.
        """
        if scale not in self.scales:
            raise InputError("scale", f"'{scale}' is not among the scales", near(scale, self.scales))
        if scale not in self._at:
            layers = [*self._files, *self._overlay(scale), Layer(self.config, self.config.content)]
            if self._own.get(scale) is not None:
                layers.append(of_scale(Layer(self.config, self._own[scale], False, ("scales", scale))))
            self._at[scale] = ScalePlan(scale, layers, self._kinds)
        return self._at[scale]

    def _overlay(self, scale: str) -> list[Layer]:
        """Layer of a scale's file, if it has one."""
        if self._root is None or scale not in self._overlays:
            return []
        return [scale_layer(self._root, self._overlays[scale])]

    def data(self, scale: str) -> dict[str, Any]:
        """Data sources and sizes of a scale."""
        return self.at(scale).data

    def resources(self, scale: str) -> dict[str, Any]:
        """Resources of rules, see :attr:`ScalePlan.resources`."""
        return self.at(scale).resources

    def studies(self, scale: str) -> dict[str, Any]:
        """The studies at a scale with their sweeps."""
        return self.at(scale).studies

    def runs(self, scale: str) -> dict[str, dict[str, Any]]:
        """All runs of a scale: ``{"study/sweep/point": parameters}``."""
        return self.at(scale).runs

    def study_runs(self, scale: str, study: str) -> dict[str, dict[str, Any]]:
        """The runs of one study."""
        return {run: spec for run, spec in self.runs(scale).items() if spec["study"] == study}

    def declared(self) -> dict[str, set[str]]:
        """The runs of each scale, each with and without its seed.

        A scale in which something is wrong is left out and does not affect the others.
        """
        runs = {}
        for scale in self.scales:
            try:
                runs[scale] = set(self.runs(scale))
            except InputError:
                if scale == self.default:
                    raise
        return {scale: own | {without_seed(run) for run in own} for scale, own in runs.items()}

    def run(self, scale: str, run: str) -> dict[str, Any]:
        """Parameters of one run.

        Raises:
            InputError: no run has this id; the message names the nearest.
        """
        runs = self.runs(scale)
        if run not in runs:
            close = difflib.get_close_matches(run, runs, n=3, cutoff=0.3) or list(runs)[:3]
            raise InputError(f"results/{scale}", f"no run is called '{run}'", f"nearest: {', '.join(close)}")
        return runs[run]

    @cached_property
    def study_names(self) -> tuple[str, ...]:
        """The studies of all scales."""
        return tuple(self._common.studies)

    @cached_property
    def filters(self) -> dict[str, Any]:
        """Filters by name, the same at all scales."""
        filters = self._common.filters
        for name, spec in filters.items():
            self._common.read(self._kinds.filter, spec, ("filters", name))
        return filters

    def filter(self, name: str) -> Mapping[str, Any]:
        """The filter of this name.

        Raises:
            InputError: there is none.
        """
        if name not in self.filters:
            raise InputError("filters", f"no filter is called '{name}'", near(name, self.filters))
        chosen: Mapping[str, Any] = self.filters[name]
        return chosen

    @cached_property
    def _common(self) -> ScalePlan:
        """What no scale changes."""
        return ScalePlan("", [*self._files, Layer(self.config, self.config.content)], self._kinds)
