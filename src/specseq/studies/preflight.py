"""What would stop a scale from running, known before anything is submitted."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from csv import DictReader
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from specseq.environment import pinned
from specseq.errors import InputError
from specseq.launch import gpus
from specseq.launch.settings import SlurmSettings
from specseq.series.hub import check_finished
from specseq.settings import read
from specseq.studies.config import HUB
from specseq.studies.data import DataSources, download_record
from specseq.studies.planning import CHRONOS2, Planning
from specseq.sweeps import Plan

# Bytes per training run: weights and two checkpoints with both moments of the largest model, and its tables.
_RUN_BYTES = 0.35e9
_DOWNLOAD_BYTES = {"mini": 6e6, "practical": 100e9, "full": 1000e9}
_SECONDS = 20
# Compute capability from which on a GPU has bfloat16.
_BFLOAT16 = 8.0


@dataclass(frozen=True)
class Finding:
    """One check; ``fault`` is empty where nothing is wrong, and ``said`` tells what was found then."""

    check: str
    fault: str = ""
    remedy: str = ""
    said: str = ""


def preflight(plan: Plan, scale: str, root: Path, slurm: bool) -> Iterator[Finding]:
    """Check data, disk, versions and, for training on SLURM, partitions and limits, or else the GPUs here."""
    sources = DataSources(plan)
    for name in ("lotsa", "gift_eval", "fev"):
        yield _source(sources, scale, name, root)
    if hub := _missing_downloads(sources, scale, root):
        yield _reachable(hub)
    yield _disk(plan, scale, root, bool(hub))
    yield from _versions(root)
    if slurm:
        yield from _jobs(plan, scale)
    else:
        yield from gpus_here(plan, scale)


def gpus_here(plan: Plan, scale: str) -> Iterator[Finding]:
    """Whether this machine has what the scale trains on; nothing for a scale that trains on CPUs."""
    planning = Planning(plan)
    trained = [run for run, params in plan.runs(scale).items() if "training" in params]
    if not any(planning.resources(scale, "pretrain", run).gpus for run in trained):
        return
    ids = gpus.visible()
    if not ids:
        fault = f"none is visible, and the scale {scale} trains on GPUs"
        yield Finding("gpu", fault, "use a machine that has one, or --config 'resources={all: {gpus: 0}}'")
        return
    if not _cuda_build():
        yield Finding("gpu", "torch was built without CUDA", "install the build for your driver")
        return
    found = gpus.kinds(ids)
    said = f"{len(ids)}, {', '.join(sorted({name for name, _ in found}))}"
    if old := [name for name, capability in found if capability < _BFLOAT16]:
        remedy = "leave it out by CUDA_VISIBLE_DEVICES, or expect float32: twice the memory, and slower"
        yield Finding("gpu", f"{old[0]} has no bfloat16", remedy)
    else:
        yield Finding("gpu", said=said)


def _cuda_build() -> bool:
    """Whether torch can use CUDA, without the seconds that its import takes."""
    place = find_spec("torch")
    text = Path(place.origin).with_name("version.py").read_text() if place and place.origin else ""
    return re.search(r"^cuda\b.*=\s*['\"]", text, re.MULTILINE) is not None


def _source(sources: DataSources, scale: str, name: str, root: Path) -> Finding:
    check, given, folder = f"data.{name}", sources.plan.data(scale)[name], sources.folder(scale, name)
    if folder is None:
        if not sources.displaced(scale, name):
            return Finding(check, said=given or "none")
        lacking = "is embedded" if given else "is not given"
        remedy = f"give the hub's data or a folder: --config 'data={{{name}: DIR}}'"
        return Finding(check, f"{lacking}, and the scale {scale} is for published data", remedy)
    if given == HUB and not (root / download_record(name)).is_file():
        return Finding(check, said="is downloaded from the hub when it is needed")
    return _folder(check, name, root / folder)


def _folder(check: str, name: str, place: Path) -> Finding:
    if not place.is_dir():
        return Finding(check, f"there is no folder {place}", "give one that exists, or hub")
    try:
        check_finished(place)
    except InputError as error:
        return Finding(check, f"{error.where}: {error.fault}", error.remedy or "run it again")
    if absent := _absent(name, place):
        shown = ", ".join(absent[:3]) + (" ..." if len(absent) > 3 else "")
        return Finding(check, f"{len(absent)} data sets are not in {place}: {shown}", "download them")
    return Finding(check, said=str(place))


def _absent(name: str, folder: Path) -> list[str]:
    """Data sets of a benchmark that its folder lacks."""
    table, column = {
        "gift_eval": ("gift_eval_configs.csv", "folder"),
        "fev": ("fev_tasks.csv", "dataset"),
    }.get(name, ("", ""))
    if not table:
        return [] if any(folder.iterdir()) else [name]
    text = (files("specseq.scoring") / table).read_text(encoding="utf-8")
    wanted = dict.fromkeys(row[column] for row in DictReader(text.splitlines()))
    return [one for one in wanted if not (folder / one).is_dir()]


def _missing_downloads(sources: DataSources, scale: str, root: Path) -> list[str]:
    """Sources that the scale takes from the hub and that are not there yet."""
    data, runs = sources.plan.data(scale), sources.plan.runs(scale).values()
    names = ["lotsa", "gift_eval", "fev"]
    if any(CHRONOS2 in str(run.get("forecaster")) for run in runs):
        names.append(CHRONOS2)
    wanted = [name for name in names if data[name] == HUB]
    if sources.text_needed(scale):
        wanted.append("text")
    return [name for name in wanted if not (root / download_record(name)).is_file()]


def _reachable(names: list[str]) -> Finding:
    """Whether the hub answers."""
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    check, wanted = "hub", ", ".join(names)
    remedy = "download where there is a network, or give folders under data"
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return Finding(check, f"HF_HUB_OFFLINE is set, and {wanted} are to be downloaded", remedy)
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        with urlopen(f"{endpoint}/api/models?limit=1", timeout=_SECONDS):
            return Finding(check, said=f"answers; {wanted} will be downloaded")
    except HTTPError as error:
        if error.code in (401, 403):
            return Finding(check, f"refuses access ({error.code})", "log in with: hf auth login")
        return Finding(check, f"answers with an error ({error.code})", remedy)
    except (URLError, OSError) as error:
        return Finding(check, f"cannot be reached ({error}), and {wanted} are to be downloaded", remedy)


def _disk(plan: Plan, scale: str, root: Path, downloads: bool) -> Finding:
    runs = sum("training" in params for params in plan.runs(scale).values())
    needed = runs * (_RUN_BYTES if scale == "paper" else 0.02e9)
    if downloads:
        lotsa = (plan.config.content.get("downloads") or {}).get("lotsa") or {}
        needed += _DOWNLOAD_BYTES.get(lotsa.get("preset") or "mini", 0) + 5e9
    free = shutil.disk_usage(root).free
    said = f"{free / 1e9:.0f} GB free, some {needed / 1e9:.0f} GB needed"
    if free < needed:
        return Finding("disk", said, "make room, or put results and downloads on another disk by a link")
    return Finding("disk", said=said)


def _versions(root: Path) -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    lock = root / "envs/requirements.lock"
    if not lock.is_file():
        return
    wrong = []
    for package in ("torch", "numpy", "pyarrow", "snakemake", "submitit"):
        wanted = pinned(lock).get(package)
        try:
            installed = version(package).partition("+")[0]
        except PackageNotFoundError:
            installed = "none"
        if wanted and installed != wanted.partition("+")[0]:
            wrong.append(f"{package} {installed} where the lock has {wanted}")
    if wrong:
        yield Finding("versions", "; ".join(wrong), f"pip install -r {lock}")
    else:
        yield Finding("versions", said="as in envs/requirements.lock")


def _jobs(plan: Plan, scale: str) -> Iterator[Finding]:
    """Whether SLURM would take a training job of each study."""
    if shutil.which("sbatch") is None:
        yield Finding(
            "sbatch", "there is none on this machine", "log in to the cluster, or use launcher: local"
        )
        return
    planning, given = Planning(plan), plan.config.content.get("slurm") or {}
    seen = set()
    for run, params in plan.runs(scale).items():
        if "training" not in params or params["study"] in seen:
            continue
        seen.add(params["study"])
        settings = read(SlurmSettings, planning.slurm(scale, run, given), "slurm")
        yield _accepted(f"slurm ({params['study']})", settings)


def _accepted(check: str, settings: SlurmSettings) -> Finding:
    if 60 * settings.minutes <= settings.signal_delay_s:
        limit, delay = settings.minutes, settings.signal_delay_s
        fault = f"the time limit of {limit} min is not above signal_delay_s ({delay} s)"
        return Finding(check, fault, "raise the one or lower the other")
    options = [f"--time={settings.minutes}"]
    for name in ("partition", "account", "qos", "mem", "cpus_per_task", "gpus_per_node", "nodes", "gres"):
        if (value := getattr(settings, name)) not in (None, 0):
            options.append(f"--{name.replace('_', '-')}={value}")
    try:
        done = subprocess.run(
            ["sbatch", "--test-only", *options, "--wrap=true"],
            capture_output=True, text=True, timeout=_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(check, f"sbatch does not answer ({error})", "look at: sinfo, scontrol ping")
    if done.returncode == 0:
        return Finding(check, said=" ".join(options))
    last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    reason = last.removeprefix("allocation failure: ").removeprefix("sbatch: error: ")
    remedy = "see sinfo for partitions and limits; set slurm and resources in config.yaml"
    return Finding(check, f"{reason} ({' '.join(options)})", remedy)
