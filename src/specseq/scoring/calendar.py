"""Steps of a regular calendar: where a time stands in a series, and the time of a step.

Shapes: N series or times.
"""

import numpy as np
from numpy.typing import NDArray

from specseq.series.frequency import Frequency

Times = NDArray[np.datetime64]
Places = NDArray[np.int64]

SECONDS = {"S": 1, "T": 60, "H": 3600, "D": 86400, "W": 604800}
MONTHS = {"M": 1, "Q": 3, "A": 12}


def time_at(starts: Times, places: Places, frequency: Frequency) -> Times:
    """Times of the steps ``places`` (0 is the first) of series that begin at ``starts``: datetime64[us] [N].

    A series that begins on the last day of a month keeps to last days, another one to its day of the month.
    """
    starts = starts.astype("datetime64[us]")
    steps = places * frequency.multiple
    if frequency.unit in SECONDS:
        return starts + (steps * SECONDS[frequency.unit]).astype("timedelta64[s]")
    days = starts.astype("datetime64[D]")
    within = starts - days
    if frequency.unit == "B":
        return np.busday_offset(days, steps, roll="forward").astype("datetime64[us]") + within
    months = starts.astype("datetime64[M]")
    later = months + (steps * MONTHS[frequency.unit]).astype("timedelta64[M]")
    day, last = days - months.astype("datetime64[D]"), _last_day(later)
    day = np.where(day == _last_day(months), last, np.minimum(day, last))
    return (later.astype("datetime64[D]") + day).astype("datetime64[us]") + within


def place_of(starts: Times, times: Times, frequency: Frequency) -> Places:
    """Steps from ``starts`` to ``times``, int64 [N]; the least int64 if a time is not a step of its series.

    For months, quarters and years, only the month counts and not the day.
    """
    if frequency.unit in SECONDS:
        apart = (times.astype("datetime64[us]") - starts.astype("datetime64[us]")).astype(np.int64)
        step = SECONDS[frequency.unit] * 10**6
    elif frequency.unit == "B":
        apart, step = np.busday_count(starts.astype("datetime64[D]"), times.astype("datetime64[D]")), 1
    else:
        months = times.astype("datetime64[M]") - starts.astype("datetime64[M]")
        apart, step = months.astype(np.int64), MONTHS[frequency.unit]
    places, rest = np.divmod(apart, step * frequency.multiple)
    return np.where(rest == 0, places, np.iinfo(np.int64).min)


def _last_day(months: Times) -> NDArray[np.timedelta64]:
    """Days from the first to the last of each month."""
    return (months + 1).astype("datetime64[D]") - months.astype("datetime64[D]") - np.timedelta64(1, "D")
