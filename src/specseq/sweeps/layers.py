"""What the files say: studies at their published sizes, what a scale changes, what ``config.yaml`` adds.

::

    workflow/studies/<study>/sweeps.yaml    the study's runs; data.yaml and filters.yaml beside it
    workflow/scales/<scale>.yaml            what the scale changes, by path
    config.yaml                             studies, filters and data of one's own, and what changes in them;
                                            its section `scales` holds overlays like the files'

Each is laid over the ones before it. ``null`` leaves out what it names: a sweep, a point, a label of a
grid, a parameter that a layer before set. A list in place of a mapping of names keeps these alone; its
entries are ``name`` or ``name: changes``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from specseq.errors import InputError
from specseq.settings import near
from specseq.sweeps.merge import merge

_STUDY_FILES = {"data.yaml": "data", "filters.yaml": "filters"}


@dataclass(frozen=True)
class Layer:
    """One file's part of the plan.

    Attributes:
        file: where it stands, as messages name it.
        content: its ``studies``, ``data`` and ``filters``.
        adds: whether it may name studies, sweeps and points that no layer before it has.
        path: place of the content in the file.
    """

    file: str
    content: Mapping[str, Any]
    adds: bool = True
    path: str = ""


def read_yaml(path: Path) -> Any:
    """Plain YAML, by libyaml where it is there: that is some ten times faster, and configs can be long.

    Raises:
        InputError: it is not YAML.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except yaml.YAMLError as error:
        raise InputError(path, f"not readable YAML ({error})") from None


def study_layers(root: Path) -> list[Layer]:
    """What the folders of the studies say."""
    layers = []
    for path in sorted((root / "workflow" / "studies").glob("*/*.yaml")):
        file = path.relative_to(root).as_posix()
        if path.name == "sweeps.yaml":
            layers.append(Layer(file, {"studies": {path.parent.name: read_yaml(path)}}))
        elif path.name in _STUDY_FILES:
            layers.append(Layer(file, {_STUDY_FILES[path.name]: read_yaml(path)}))
    return layers


def scale_layers(root: Path) -> dict[str, Layer]:
    """What the files of the scales say."""
    paths = sorted((root / "workflow" / "scales").glob("*.yaml"))
    return {
        path.stem: Layer(path.relative_to(root).as_posix(), read_yaml(path) or {}, adds=False)
        for path in paths
    }


def lay(layers: list[Layer]) -> dict[str, Any]:
    """All layers as one: ``studies``, ``data`` and ``filters``.

    Raises:
        InputError: a layer changes what is not there.
    """
    studies: dict[str, Any] = {}
    for layer in layers:
        place = f"{layer.file}: {layer.path}studies"
        studies = _named(studies, layer.content.get("studies") or {}, place, layer.adds, _study)
    return {
        "studies": studies,
        "data": merge(*(layer.content.get("data") or {} for layer in layers)),
        "filters": merge(*(layer.content.get("filters") or {} for layer in layers)),
    }


def setters(layers: list[Layer], path: tuple[str, ...]) -> Iterator[str]:
    """Files that set a path of the whole, the one that decides it last."""
    for layer in layers:
        part: Any = layer.content
        for key in path:
            if isinstance(part, list):
                part = next((entry for entry in part if isinstance(entry, Mapping) and key in entry), None)
            part = part.get(key) if isinstance(part, Mapping) else None
        if part is not None:
            yield layer.file


def _study(old: Mapping[str, Any], changes: Mapping[str, Any], place: str, adds: bool) -> dict[str, Any]:
    return {
        **merge(_without(old, "over", "sweeps"), _without(changes, "over", "sweeps")),
        "over": _axes(old.get("over", {}), changes.get("over", {}), f"{place}.over", adds),
        "sweeps": _named(old.get("sweeps", {}), changes.get("sweeps", {}), f"{place}.sweeps", adds, _sweep),
    }


def _sweep(old: Mapping[str, Any], changes: Mapping[str, Any], place: str, adds: bool) -> dict[str, Any]:
    made = merge(_without(old, "over", "runs"), _without(changes, "over", "runs"))
    made["over"] = _axes(old.get("over", {}), changes.get("over", {}), f"{place}.over", adds)
    if "runs" in old or "runs" in changes:
        made["runs"] = _named(old.get("runs", {}), changes.get("runs", {}), f"{place}.runs", adds, _merged)
    return made


def _axes(old: Mapping[str, Any], changes: Mapping[str, Any], place: str, adds: bool) -> dict[str, Any]:
    """Swept keys and their values; a sweep takes an axis of its study out by a null, which stays here."""
    made = dict(old)
    for key, values in changes.items():
        labelled = isinstance(old.get(key), Mapping) and isinstance(values, Mapping | list)
        made[key] = _named(old[key], values, f"{place}.{key}", adds, _merged) if labelled else values
    return made


def _merged(old: Any, changes: Any, place: str, adds: bool) -> Any:
    return merge(old, changes) if isinstance(changes, Mapping) else changes


def _named(
    old: Mapping[str, Any],
    changes: Any,
    place: str,
    adds: bool,
    change: Callable[[Any, Any, str, bool], Any],
) -> dict[str, Any]:
    """Named things, some of them changed, added or left out."""
    alone = isinstance(changes, list)
    if alone:
        entries = [entry if isinstance(entry, Mapping) else {entry: {}} for entry in changes]
        changes = {name: value for entry in entries for name, value in entry.items()}
    if not isinstance(changes, Mapping):
        raise InputError(place, f"{changes!r} is not a mapping")
    made = {name: value for name, value in old.items() if name in changes or not alone}
    for name, value in changes.items():
        if name not in old and value is not None and (alone or not adds):
            raise InputError(f"{place}.{name}", "changes what is not there", near(name, old))
        if value is not None:
            made[name] = change(old.get(name, {}), value, f"{place}.{name}", adds)
        elif name in old:
            del made[name]
        else:
            raise InputError(f"{place}.{name}", "leaves out what is not there", near(name, old))
    return made


def _without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}
