"""Which LOTSA sub-datasets hold series that GIFT-Eval tests on."""

from fnmatch import fnmatchcase

# GIFT-Eval data set -> name patterns of the LOTSA sub-datasets that contain it.
GIFT_EVAL_OVERLAP: dict[str, tuple[str, ...]] = {
    "car_parts": ("car_parts*",),
    "covid_deaths": ("covid_deaths",),
    "hierarchical_sales": ("hierarchical_sales",),
    "hospital": ("hospital",),
    "kdd_cup_2018": ("kdd_cup_2018*",),
    "loop_seattle": ("LOOP_SEATTLE",),
    "m4": ("m4_*",),
    "m_dense": ("M_DENSE",),
    "restaurant": ("restaurant",),
    "saugeen": ("saugeenday",),
    "sz_taxi": ("SZ_TAXI",),
    "temperature_rain": ("temperature_rain*",),
    "us_births": ("us_births",),
}


def gift_eval_overlap(name: str) -> str | None:
    """The GIFT-Eval data set that a LOTSA sub-dataset overlaps with, or None."""
    for benchmark, patterns in GIFT_EVAL_OVERLAP.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return benchmark
    return None
