"""LOTSA's sub-datasets: choices by size, and those that hold test series of GIFT-Eval.

========= ==================================================================================
mini      14 small sub-datasets without benchmark overlap, about 6 MB
practical all except the climate collections CMIP6 and ERA5, plus one slice of each, about 100 GB
full      everything, about 0.92 TB
========= ==================================================================================
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from specseq.series.config import Preset
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
# Name pattern of a LOTSA sub-dataset -> key of the GIFT-Eval data set that it contains, with which config
# names begin; None if both have the same name.
_OVERLAP: dict[str, str | None] = {
    "LOOP_SEATTLE": "loop_seattle",
    "M_DENSE": "m_dense",
    "SZ_TAXI": "sz_taxi",
    "car_parts*": "car_parts",
    "covid_deaths": None,
    "hierarchical_sales": None,
    "hospital": None,
    "kdd_cup_2018*": "kdd_cup_2018",
    "m4_*": None,
    "restaurant": None,
    "saugeenday": "saugeen",
    "temperature_rain*": "temperature_rain",
    "us_births": None,
}


def lotsa_sub_datasets(
    available: Sequence[str], preset: Preset | None, names: Sequence[str] = ()
) -> list[str]:
    """The sub-datasets of a preset and those named in addition.

    Args:
        preset: see the module; None for the names alone.

    Raises:
        InputError: the hub does not have one of the names.
    """
    patterns = list(names)
    if preset == "mini":
        patterns += MINI
    elif preset == "practical":
        patterns += [name for name in available if not name.startswith(_CLIMATE)] + list(_SLICES)
    elif preset == "full":
        patterns += available
    return choose(available, patterns, LOTSA)


def gift_eval_overlap(name: str) -> str | None:
    """The GIFT-Eval key that a LOTSA sub-dataset overlaps with, or None."""
    for pattern, key in _OVERLAP.items():
        if fnmatchcase(name, pattern):
            return key or name
    return None


def leaked_keys(manifest: Mapping[str, Any]) -> set[str]:
    """GIFT-Eval keys that a model trained on a whole store may have seen.

    Args:
        manifest: the store's manifest, as returned by :func:`specseq.series.prepare.prepare_store`.

    Returns:
        Keys such as ``m4_hourly``; the config ``key/freq/term`` is leaked if its key is among them.
    """
    keys = (record["gift_eval_overlap"] for record in manifest["datasets"].values() if record["series"])
    return {key for key in keys if key is not None}
