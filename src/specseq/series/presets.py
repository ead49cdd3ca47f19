"""Choices of LOTSA sub-datasets by size.

========= ==================================================================================
mini      14 small sub-datasets without benchmark overlap, about 6 MB
practical all except the climate collections CMIP6 and ERA5, plus one slice of each, about 100 GB
full      everything, about 0.92 TB
========= ==================================================================================
"""

from collections.abc import Sequence

from specseq.errors import InputError
from specseq.series.hub import LOTSA, choose

MINI = (
    "elecdemand",
    "gfc12_load",
    "m1_monthly",
    "m1_quarterly",
    "m1_yearly",
    "monash_m3_monthly",
    "monash_m3_other",
    "monash_m3_quarterly",
    "monash_m3_yearly",
    "nn5_daily_with_missing",
    "sunspot_with_missing",
    "tourism_monthly",
    "tourism_quarterly",
    "tourism_yearly",
)
_CLIMATE = ("cmip6_", "era5_")
_SLICES = ("cmip6_1850", "era5_1989")
PRESETS = ("mini", "practical", "full")


def lotsa_sub_datasets(available: Sequence[str], preset: str | None, names: Sequence[str] = ()) -> list[str]:
    """The sub-datasets of a preset and those named in addition.

    Args:
        available: sub-datasets on the hub.
        preset: one of :data:`PRESETS`, or None for the names alone.
        names: further names or patterns.

    Raises:
        InputError: the preset is unknown, or the hub does not have one of the names.
    """
    if preset is not None and preset not in PRESETS:
        raise InputError("preset", f"unknown preset {preset!r}", f"use one of {', '.join(PRESETS)}")
    patterns = list(names)
    if preset == "mini":
        patterns += MINI
    elif preset == "practical":
        patterns += [name for name in available if not name.startswith(_CLIMATE)] + list(_SLICES)
    elif preset == "full":
        patterns += available
    if not patterns:
        raise InputError("datasets", "nothing is named", "give a preset or names of sub-datasets")
    return choose(available, patterns, LOTSA)
