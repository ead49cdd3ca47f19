"""Whether the data of a scale are there and whole, or are to be downloaded."""

import json
from collections.abc import Iterator
from csv import DictReader
from importlib.resources import files
from pathlib import Path

from specseq.errors import InputError
from specseq.series.arrow import find_folders
from specseq.series.downloads import Source
from specseq.series.hub import RECORD, check_finished
from specseq.studies import studies
from specseq.studies.config import HUB
from specseq.studies.data import DataSources, download_record
from specseq.studies.planning import CHRONOS2
from specseq.studies.preflight.finding import Finding

_BENCHMARKS = {"gift_eval": ("gift_eval_configs.csv", "folder"), "fev": ("fev_tasks.csv", "dataset")}


def data_there(sources: DataSources, scale: str, root: Path) -> Iterator[Finding]:
    """One line per source that the scale reads."""
    for name in wanted(sources, scale):
        yield _text(sources, scale, root) if name == "text" else _source(sources, scale, name, root)


def wanted(sources: DataSources, scale: str) -> list[Source]:
    """The sources that the studies of a scale read."""
    runs = sources.plan.runs(scale).values()
    read = {path for name in sources.plan.studies(scale) for path in studies()[name].data.values()}
    names: list[Source] = ["lotsa", "gift_eval", "fev"] if "data/lotsa" in read else []
    forecasters = [run.get("forecaster") or {} for run in runs]
    forecasters += [(run.get("evaluation") or {}).get("other") or {} for run in runs]
    if any(forecaster.get("name") == CHRONOS2 for forecaster in forecasters):
        names.append("chronos2")
    return [*names, "text"] if "data/text" in read else names


def missing_downloads(sources: DataSources, scale: str, root: Path) -> list[Source]:
    """Sources that the scale takes from the hub and that are not there yet."""
    data = sources.plan.data(scale)
    from_hub = {name: data[name] == HUB for name in ("lotsa", "gift_eval", "fev", CHRONOS2)}
    from_hub["text"] = bool(sources.text_needed(scale))
    return [
        name
        for name in wanted(sources, scale)
        if from_hub[name] and not (root / download_record(name)).is_file()
    ]


def _source(sources: DataSources, scale: str, name: str, root: Path) -> Finding:
    check, given, folder = f"data.{name}", sources.plan.data(scale)[name], sources.folder(scale, name)
    if folder is None:
        if not sources.displaced(scale, name):
            return Finding(check, note=given or "none")
        lacking = "is embedded" if given else "is not given"
        remedy = f"give the hub's data or a folder: --config 'data={{{name}: DIR}}'"
        return Finding(check, f"{lacking}, and the scale {scale} is for published data", remedy)
    if given == HUB and not (root / download_record(name)).is_file():
        return Finding(check, note="is downloaded from the hub when it is needed")
    return folder_there(check, name, root / folder)


def folder_there(check: str, name: str, place: Path) -> Finding:
    """Whether a folder of the hub's layout is there, finished and whole."""
    if not place.is_dir():
        return Finding(check, f"there is no folder {place}", "give one that exists, or hub")
    try:
        check_finished(place)
    except InputError as error:
        return Finding(check, f"{error.where}: {error.fault}", error.remedy or "run it again")
    if fault := _damaged(place):
        return Finding(check, fault, f"delete {place / RECORD} and run the download again")
    if name == "lotsa":
        try:
            find_folders(place)
        except InputError as error:
            return Finding(check, f"{error.where}: {error.fault}", f"{error.remedy}, or hub")
    if name == CHRONOS2 and not ((place / "config.json").is_file() and any(place.glob("*.safetensors"))):
        remedy = "give the folder that hf download makes, or hub"
        return Finding(check, f"{place} holds no weights (config.json, *.safetensors)", remedy)
    if absent := _absent(name, place):
        shown = ", ".join(absent[:3]) + (" ..." if len(absent) > 3 else "")
        remedy = "download them: what is published is decided by all of them"
        return Finding(check, f"{len(absent)} data sets are not in {place}: {shown}", remedy)
    return Finding(check, note=str(place))


def _absent(name: str, folder: Path) -> list[str]:
    """Data sets of a benchmark that its folder lacks."""
    if name not in _BENCHMARKS:
        return []
    table, column = _BENCHMARKS[name]
    text = (files("specseq.scoring") / table).read_text(encoding="utf-8")
    wanted = dict.fromkeys(row[column] for row in DictReader(text.splitlines()))
    return [one for one in wanted if not (folder / one).is_dir()]


def _damaged(folder: Path) -> str:
    """Files and bytes of its record that a download lacks, in words; checksums would take too long."""
    if not (folder / RECORD).is_file():
        return ""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        paths, expected = [folder / name for name in record["files"]], int(record["bytes"])
    except (ValueError, KeyError, TypeError) as error:
        return f"{folder / RECORD} is not the record of a download ({error})"
    if lost := [path for path in paths if not path.is_file()]:
        return f"{len(lost)} of {len(paths)} files are not there, such as {lost[0]}"
    found = sum(path.stat().st_size for path in paths)
    return "" if found == expected else f"{folder} has {found} bytes of {expected}"


def _text(sources: DataSources, scale: str, root: Path) -> Finding:
    check, source = "data.text", sources.text(scale).get("source", {})
    if sources.text_needed(scale) and not (root / download_record("text")).is_file():
        return Finding(check, note="is downloaded from the hub when it is needed")
    if "path" not in source:
        return Finding(check, note=str(source.get("kind", "docstrings")))
    place = root / source["path"]
    if place.is_dir() and (fault := _damaged(place)):
        return Finding(check, fault, f"delete {place / RECORD} and run the download again")
    lacking = _no_tokens(place) if source["kind"] == "tokens" else _no_text(place)
    if lacking:
        return Finding(check, f"{place} {lacking}", "see data.text in config.yaml")
    return Finding(check, note=str(place))


def _no_text(place: Path) -> str:
    held = place.rglob("*.txt") if place.is_dir() else [place]
    return "" if any(_size(file) for file in held) else "holds no text (*.txt)"


def _no_tokens(place: Path) -> str:
    groups = (("train.bin", "train.npy"), ("tokenizer.json", "meta.json"))
    lacking = [" or ".join(names) for names in groups if not any(_size(place / name) for name in names)]
    return f"holds no {', no '.join(lacking)}" if lacking else ""


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
