"""What would stop a scale from running, known before anything is submitted."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from specseq.studies.data import DataSources
from specseq.studies.preflight.cards import local_cards, rehearsed, slurm_cards
from specseq.studies.preflight.data import data_there, missing_downloads
from specseq.studies.preflight.finding import Finding
from specseq.studies.preflight.hub import hub_gives
from specseq.studies.preflight.jobs import profile_defaults, slurm_jobs
from specseq.studies.preflight.machine import disk, versions
from specseq.sweeps import Plan

__all__ = ["Finding", "preflight", "profile_defaults"]


def preflight(
    plan: Plan, scale: str, root: Path, slurm: bool, defaults: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Check data, disk, versions, GPUs and, for training on SLURM, partitions and limits.

    Args:
        root: the folder of the workflow.
        slurm: whether training runs on SLURM.
        defaults: what stages ask of SLURM beside their resources, where they run there too.
    """
    sources = DataSources(plan)
    yield from data_there(sources, scale, root)
    missing = missing_downloads(sources, scale, root)
    yield from hub_gives(plan, missing)
    yield disk(plan, scale, root, missing)
    yield from versions(root)
    if slurm:
        yield from slurm_jobs(plan, scale, defaults)
        yield from slurm_cards(plan, scale, root)
    else:
        yield from local_cards(plan, scale, root)
    yield from rehearsed(scale, root)
