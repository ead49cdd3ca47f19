"""LOTSA sub-datasets that contain test series of GIFT-Eval."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

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
