"""Disk, package versions, and what runs were recorded to cost."""

import shutil
from collections.abc import Collection, Iterator
from csv import DictReader
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from specseq.environment import pinned
from specseq.studies.preflight.finding import Finding
from specseq.sweeps import Plan

ALL = "*"
Row = dict[str, str]
# Bytes per training run where no costs are recorded: weights, two checkpoints with both moments, and tables.
_RUN_BYTES = 0.02e9
_LOTSA_BYTES = {"mini": 6e6, "practical": 100e9, "full": 1000e9}
_OTHER_BYTES = {"gift_eval": 2e9, "fev": 2e9, "text": 2.5e9, "chronos2": 0.5e9}


def disk(plan: Plan, scale: str, root: Path, missing: Collection[str]) -> Finding:
    """Whether what is still to be downloaded and trained has room.

    Args:
        missing: the sources that are to be downloaded.
    """
    trained = [run for run, params in plan.runs(scale).items() if "training" in params]
    results = root / "results" / scale / "runs"
    left = sum(not (results / run / "pretrain.parquet").is_file() for run in trained)
    costs = recorded_costs(root, scale).get((ALL, ALL))
    needed = left * (1e9 * float(costs["disk_gb"]) / int(costs["runs"]) if costs else _RUN_BYTES)
    needed += sum(_OTHER_BYTES.get(name, 0) for name in missing)
    if "lotsa" in missing:
        lotsa = (plan.config.content.get("downloads") or {}).get("lotsa") or {}
        needed += _LOTSA_BYTES.get(lotsa.get("preset") or "mini", 0)
    free = shutil.disk_usage(root).free
    note = f"{free / 1e9:.0f} GB free, some {needed / 1e9:.0f} GB needed"
    if free < needed:
        return Finding("disk", note, "make room, or put results and downloads on another disk by a link")
    return Finding("disk", note=note)


def versions(root: Path) -> Iterator[Finding]:
    """Whether the packages that decide results are those of the lock file."""
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
        yield Finding("versions", note="as in envs/requirements.lock")


def recorded_costs(root: Path, scale: str) -> dict[tuple[str, str], Row]:
    """Rows of ``docs/costs/<scale>.csv``, made by ``specseq cost --csv``, by study and sweep; ``*`` for all.

    Empty where none are recorded.
    """
    path = root / "docs/costs" / f"{scale}.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        return {(row["study"], row["sweep"]): row for row in DictReader(lines)}
