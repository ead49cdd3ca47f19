"""The conditions of a measured claim, in words: data, configs, parameters, steps and seeds of its runs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from specseq.errors import InputError
from specseq.report.claims.language import queries_of
from specseq.report.claims.loading import Claim
from specseq.report.claims.queries import Folder, Missing, rows_of
from specseq.sweeps import without_seed
from specseq.tables import read_parquet, read_provenance

_BENCHMARKS = {"gift_eval": "GIFT-Eval", "fev": "FEV-Bench"}
_WHOLE = {"gift_eval": 97, "fev": 100}


@dataclass(frozen=True)
class Conditions:
    """Data and runs that a claim was measured on.

    Attributes:
        text: for a reader, such as ``scored on 7 embedded sets; 7 configs; 23,876 parameters, 6 steps of 2``.
        embedded: whether some of the data come with the package instead of being the published data.
        lacking: configs or tasks of a benchmark that were not scored, in words; empty where all were.
    """

    text: str
    embedded: bool
    lacking: str = ""


def conditions(claim: Claim, folder: Folder) -> Conditions:
    """The conditions of a claim's measurement, from the selected rows and the records of their runs."""
    frames = _selected(claim, folder)
    groups = {str(run) for frame in frames for run in _column(frame, "group", "run", "baseline")}
    records = [record for group in sorted(groups) for record in _records(folder.root, group)]
    benchmarks = sorted({str(name) for frame in frames for name in _column(frame, "benchmark")})
    named = [_data(folder.root, name) for name in dict.fromkeys([*benchmarks, *_inputs(records)])]
    data = [found for found in named if found["data"]]
    scored = any(name in _BENCHMARKS for name in benchmarks)
    parts = [
        ", ".join(dict.fromkeys(str(found["data"]) for found in data)),
        _span("config", frames, ("paired_configs", "configs"), "task" if scored else ""),
        _counts(records),
        _span("seed", frames, ("seeds",), "seed"),
    ]
    text = "; ".join(part for part in parts if part)
    return Conditions(
        text, any(found["embedded"] for found in data), _lacking(folder.root, groups, benchmarks)
    )


def groups_of(claim: Claim, folder: Folder) -> set[str]:
    """The runs that a claim's rows come from, without their seeds."""
    frames = _selected(claim, folder)
    return {without_seed(str(run)) for frame in frames for run in _column(frame, "group", "run", "baseline")}


def _selected(claim: Claim, folder: Folder) -> list[pd.DataFrame]:
    frames = []
    for query in queries_of(claim.quantity):
        try:
            frames.append(rows_of(folder, query)[0])
        except Missing:
            continue
    return frames


def study_conditions(root: Path, study: str) -> str:
    """The conditions of a study's runs at a scale, in words: data, parameters, steps, seeds."""
    records = [_record(path) for path in sorted((root / "runs" / study).rglob("pretrain.parquet"))]
    scored = [name for name in _BENCHMARKS if any((root / "runs" / study).rglob(f"{name}.parquet"))]
    data = [str(_data(root, name)["data"]) for name in dict.fromkeys([*scored, *_inputs(records)])]
    seeds = {record.get("seed") for record in records}
    parts = [
        ", ".join(filter(None, data)),
        _counts(records),
        _number({len(seeds)}, "seed") if records else "",
    ]
    return "; ".join(part for part in parts if part)


def benchmark_names(root: Path) -> dict[str, str]:
    """Names of benchmarks that fit what was scored: embedded sets are not called GIFT-Eval."""
    return {
        name: "embedded sets" if _data(root, name)["embedded"] else words
        for name, words in _BENCHMARKS.items()
    }


def _lacking(root: Path, groups: Iterable[str], benchmarks: Iterable[str]) -> str:
    """The part of a benchmark that evaluations of these runs left out, in words."""
    for name in benchmarks:
        scored = [record.get("configs", 0) for group in groups for record in _records(root, group, name)]
        if name in _WHOLE and scored and min(scored) < _WHOLE[name]:
            return f"{min(scored)} of {_WHOLE[name]} of {_BENCHMARKS[name]}"
    return ""


def _column(frame: pd.DataFrame, *names: str) -> Iterable[Any]:
    return [value for name in names if name in frame for value in frame[name].dropna().unique() if value]


def _records(root: Path, group: str, result: str = "pretrain") -> list[Mapping[str, Any]]:
    """Provenance of a result for each seed of a group, or for a single run."""
    folder, name = root / "runs" / group, f"{result}.parquet"
    paths = [*folder.parent.glob(f"{folder.name}_seed*/{name}"), *folder.glob(f"seed*/{name}")]
    return [_record(path) for path in sorted({*paths, *folder.glob(name)})]


@cache
def _record(path: Path) -> Mapping[str, Any]:
    try:
        return read_provenance(path)
    except InputError:
        return {}


def _inputs(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """The data sets that runs were trained on: names of folders below ``data``."""
    paths = [Path(str(path)) for record in records for path in record.get("inputs", {}).values()]
    return sorted({path.parts[path.parts.index("data") + 1] for path in paths if "data" in path.parts[:-1]})


@cache
def _data(root: Path, name: str) -> Mapping[str, Any]:
    """A data set in words, and whether it is embedded."""
    folder = root / "data" / name
    if (folder / "manifest.json").is_file():
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return _described(name, manifest)
    if (folder / "manifest.parquet").is_file():
        frame = read_parquet(folder / "manifest.parquet")
        rows = frame[frame["split"] == "train"] if "split" in frame else frame
        return {
            "data": f"{int(rows['count'].max()):,} {name} below {rows['high'].max():,.0f}",
            "embedded": False,
        }
    return {"data": _BENCHMARKS.get(name, ""), "embedded": False}


def _described(name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    sets = manifest.get("datasets")
    if isinstance(sets, Mapping):
        embedded = any(
            str(entry.get("source", "")).startswith("statsmodels")
            or "generated" in str(entry.get("licence", ""))
            for entry in sets.values()
        )
        called = "embedded sets" if embedded else f"{_BENCHMARKS.get(name, name)} sets"
        use = "trained on" if name == "lotsa" else "scored on"
        return {"data": f"{use} {len(sets)} {called}", "embedded": embedded}
    source = manifest.get("source")
    kind = source.get("kind", "") if isinstance(source, Mapping) else str(source or "")
    embedded = kind in ("docstrings", "grammar", "embedded")
    size = f"{manifest['tokens']:,} tokens of " if "tokens" in manifest else ""
    return {"data": f"{size}{'embedded ' if embedded else ''}{name} ({kind})", "embedded": embedded}


def _counts(records: Iterable[Mapping[str, Any]]) -> str:
    """Parameters, steps and batches of runs."""
    listed = list(records)
    training = [record["parameters"].get("training", {}) for record in listed if "parameters" in record]
    sizes = {int(record["model_parameters"]) for record in listed if record.get("model_parameters")}
    steps = {int(entry["steps"]) for entry in training if "steps" in entry}
    batches = {int(entry["batch"]) for entry in training if "batch" in entry}
    parts = [f"{_range(sizes)} parameters"] if sizes else []
    if steps:
        parts.append(f"{_range(steps)} steps" + (f" of {_range(batches)}" if batches else ""))
    return ", ".join(parts)


def _span(unit: str, frames: Iterable[pd.DataFrame], columns: Iterable[str], single: str) -> str:
    """Number of configs or seeds of the rows, in words: from a column of counts, or distinct values."""
    numbers: set[int] = set()
    for frame in frames:
        counted = [name for name in columns if name in frame]
        if counted:
            numbers |= {int(n) for n in frame[counted[0]].dropna()}
        elif single in frame:
            values = [value for value in frame[single].dropna().unique() if str(value) != "-1"]
            numbers |= {len(values)} if values else set()
    return _number(numbers, unit) if numbers else ""


def _number(numbers: set[int], unit: str) -> str:
    return f"{_range(numbers)} {unit}{'' if numbers == {1} else 's'}"


def _range(numbers: Iterable[int]) -> str:
    least, most = min(numbers), max(numbers)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
