"""What the files say: studies at their published sizes, what a scale changes, what ``config.yaml`` adds.

::

    workflow/studies/<study>/sweeps.yaml    its runs; data.yaml, filters.yaml, resources.yaml beside it
    workflow/scales/<scale>.yaml            what the scale changes, by path
    config.yaml                             studies, filters and data of one's own, and what changes in them;
                                            its section `scales` holds overlays like the files'

Each is laid over the ones before it. ``null`` leaves out what it names: a sweep, a point, a label of a
grid, a parameter set by an earlier layer. A list in place of a mapping of names keeps only its own names; its
entries are ``name`` or ``name: changes``. In ``data`` a source of another ``kind`` replaces the one before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.settings import near, shown
from specseq.sweeps.files import Config, holds
from specseq.sweeps.merge import merge
from specseq.yaml_files import read_yaml

_STUDY_FILES = {"data.yaml": "data", "filters.yaml": "filters"}
_RESOURCES = "resources.yaml"
# Read where claims are judged and where the page is made.
_OTHERS = ("sweeps.yaml", "page.yaml", "claims.yaml")
# Filters are the same at every scale.
_OF_SCALES = ("studies", "data", "resources")


@dataclass(frozen=True)
class Layer:
    """One file's part of the plan.

    Attributes:
        file: where it stands, as messages name it; or the config, which has several sources.
        content: its ``studies``, ``data``, ``filters`` and ``resources``.
        adds: whether it may name studies, sweeps and points that no layer before it has.
        path: place of the content in the file.
        implied: how many keys of a path the file's own place stands for.
    """

    file: str | Config
    content: Mapping[str, Any]
    adds: bool = True
    path: tuple[str, ...] = ()
    implied: int = 0

    def place(self, path: Sequence[str]) -> str:
        """A path of the content, behind its file, as messages name it."""
        whole = [*self.path, *path]
        name = self.file.source(whole) if isinstance(self.file, Config) else self.file
        return ": ".join(filter(None, [name, ".".join(whole[self.implied :])]))

    def mapping(self, value: Any, path: Sequence[str]) -> Mapping[str, Any]:
        """A value of the content, if it is a mapping.

        Raises:
            InputError: it is none; names its place.
        """
        if not isinstance(value, Mapping):
            raise InputError(self.place(path), f"{shown(value)} is not a mapping", "give keys and values")
        return value

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the content; nothing where it is not given."""
        value = self.content.get(name)
        return {} if value is None else self.mapping(value, (name,))


def study_layers(root: Path) -> list[Layer]:
    """Layers of the studies' folders.

    Raises:
        InputError: a file has a name that is not read, or cannot be read.
    """
    layers = []
    for path in _written(root / "workflow" / "studies", "*/*"):
        file = path.relative_to(root).as_posix()
        known = (*_STUDY_FILES, _RESOURCES, *_OTHERS)
        if path.name not in known and not fnmatch(path.name, "claims*.yaml"):
            raise InputError(file, "no file of a study has this name", near(path.name, known))
        if path.name == "sweeps.yaml":
            layers.append(Layer(file, {"studies": {path.parent.name: read_yaml(path)}}, implied=2))
        elif path.name == _RESOURCES:
            layers.append(Layer(file, {"resources": {path.parent.name: read_yaml(path)}}, implied=2))
        elif path.name in _STUDY_FILES:
            layers.append(Layer(file, {_STUDY_FILES[path.name]: read_yaml(path)}, implied=1))
    return layers


def scale_files(root: Path) -> dict[str, Path]:
    """The files of the scales, by name; each is read when its scale is asked for.

    Raises:
        InputError: a file ends in ``.yml``.
    """
    files = _written(root / "workflow" / "scales", "*")
    for path in files:
        if path.suffix != ".yaml":
            raise InputError(path.relative_to(root), "is not read", "rename it to end in .yaml")
    return {path.stem: path for path in files}


def _written(folder: Path, pattern: str) -> list[Path]:
    """YAML files, without the hidden ones that editors and systems leave beside them."""
    found = [path for path in folder.glob(pattern) if path.suffix in (".yaml", ".yml")]
    return sorted(path for path in found if not path.name.startswith("."))


def scale_layer(root: Path, path: Path) -> Layer:
    """Layer of a scale's file.

    Raises:
        InputError: it cannot be read, or holds what no scale has.
    """
    content = read_yaml(path)
    layer = Layer(path.relative_to(root).as_posix(), {} if content is None else content, adds=False)
    return of_scale(layer)


def of_scale(layer: Layer) -> Layer:
    """The layer, if it holds the sections of a scale and nothing else.

    Raises:
        InputError: it does not.
    """
    for name in layer.mapping(layer.content, ()):
        if name not in _OF_SCALES:
            raise InputError(layer.place((name,)), "is not a section of a scale", near(name, _OF_SCALES))
    return layer


def lay(layers: Sequence[Layer]) -> dict[str, Any]:
    """All layers as one: ``studies``, ``data``, ``filters`` and ``resources``.

    Raises:
        InputError: a layer changes what is not there.
    """
    studies: dict[str, Any] = {}
    for layer in layers:
        # A list keeps the studies that it names.
        changes = layer.content.get("studies") or {}
        studies = _Changes(layer).named(studies, changes, ("studies",), _Changes.study)
    return {
        "studies": studies,
        "data": merge(*(layer.section("data") for layer in layers), kinds=True),
        "filters": merge(*(layer.section("filters") for layer in layers)),
        "resources": merge(*(layer.section("resources") for layer in layers)),
    }


def place_of(layers: Sequence[Layer], path: Sequence[str]) -> str:
    """A path of the whole behind the file that sets it, or that sets the nearest part of it."""
    for length in range(len(path), 0, -1):
        for layer in reversed(layers):
            if holds(layer.content, path[:length]):
                return layer.place(path)
    return ".".join(path)


@dataclass(frozen=True)
class _Changes:
    """Changes that a layer makes to the studies of the layers before it."""

    layer: Layer

    def study(self, old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        sweeps = self.named(old.get("sweeps", {}), new.get("sweeps", {}), (*path, "sweeps"), _Changes.sweep)
        self.parameters(new, path)
        made = merge(_without(old, "over", "sweeps"), _without(new, "over", "sweeps"))
        return {**made, "over": self.axes(old, new, path), "sweeps": sweeps}

    def sweep(self, old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        self.parameters(new, path)
        made = merge(_without(old, "over", "runs"), _without(new, "over", "runs"))
        made["over"] = self.axes(old, new, path)
        if "runs" in old or "runs" in new:
            runs = self.named(old.get("runs", {}), new.get("runs", {}), (*path, "runs"), _Changes.values)
            made["runs"] = runs
        return made

    def axes(self, old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        """Swept keys and their values; a null, by which a sweep drops an axis of its study, is kept here."""
        before, changes = old.get("over", {}), new.get("over", {})
        made = dict(before)
        for key, values in self.layer.mapping(changes, (*path, "over")).items():
            labelled = isinstance(before.get(key), Mapping) and isinstance(values, Mapping | list)
            place = (*path, "over", key)
            made[key] = self.named(before[key], values, place, _Changes.label) if labelled else values
        return made

    def values(self, old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        return merge(old, new)

    def label(self, old: Any, new: Any, path: tuple[str, ...]) -> Any:
        return merge(old, new) if isinstance(old, Mapping) and isinstance(new, Mapping) else new

    def named(
        self, old: Mapping[str, Any], new: Any, path: tuple[str, ...], change: Callable[..., Any]
    ) -> dict[str, Any]:
        """Named things, some of them changed, added or left out."""
        alone = isinstance(new, list)
        if alone:
            new = self.entries(new, path)
        made = {name: value for name, value in old.items() if not alone or name in new}
        for name, value in self.layer.mapping(new, path).items():
            place = (*path, str(name))
            if name not in old and (value is None or alone or not self.layer.adds):
                fault = "leaves out what is not there" if value is None else "changes what is not there"
                raise InputError(self.layer.place(place), fault, near(name, old))
            if value is None:
                del made[name]
            elif change is _Changes.label:
                made[name] = change(self, old.get(name, {}), value, place)
            else:
                made[name] = change(self, old.get(name, {}), self.layer.mapping(value, place), place)
        return made

    def entries(self, new: Sequence[Any], path: tuple[str, ...]) -> dict[str, Any]:
        """The entries ``name`` or ``name: changes`` of a list."""
        made: dict[str, Any] = {}
        for entry in new:
            if not isinstance(entry, Mapping | str | int | float):
                fault = f"{shown(entry)} is not an entry of a list of names"
                raise InputError(self.layer.place(path), fault, "give names, or name: changes")
            for name, value in (entry if isinstance(entry, Mapping) else {str(entry): {}}).items():
                if name in made:
                    raise InputError(self.layer.place((*path, name)), "appears twice", "join the two")
                made[name] = value
        return made

    def parameters(self, new: Mapping[str, Any], path: tuple[str, ...]) -> None:
        if new.get("base") is not None:
            self.layer.mapping(new["base"], (*path, "base"))


def _without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}
