"""How many replicates would decide an undecided claim at the spread observed, and which scale has them.

The interval of a mean of n replicates with standard deviation s reaches t(n - 1)·s/√n to each side, Student's
t at 97.5 %. At the observed estimate, it excludes the nearest end of the claim's region, a distance d away,
once this reach is below d: :func:`replicates` gives the least such n. The estimate moves as replicates come
in, so that many decide a claim only about half the time; the interval's coverage is not affected.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from specseq.report.claims.intervals import FORWARD, Axis, Measured
from specseq.report.claims.relations import Region
from specseq.sweeps import without_seed

_MOST = 1_000_000


@dataclass(frozen=True)
class Power:
    """Replicates that would decide a claim.

    Attributes:
        seeds, configs: numbers that would suffice; None where more of them are not needed, do not help or
            are not what was counted.
        scale: the smallest scale that has the seeds; empty for none, or where no seeds are missing.
        text: the same in words.
    """

    seeds: int | None
    configs: int | None
    scale: str
    text: str


def replicates(sd: float, distance: float) -> int | None:
    """The least n of two or more with t(n - 1)·sd/√n below the distance; None above a million."""
    from scipy.special import stdtrit

    def reach(n: int) -> float:
        return float(stdtrit(n - 1, 0.975)) * sd / math.sqrt(n)

    if not distance > 0 or not math.isfinite(sd) or reach(_MOST) >= distance:
        return None
    low, high = 1, 2
    while reach(high) >= distance:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reach(middle) < distance else (middle, high)
    return high


def power_of(
    found: Measured, region: Region, groups: Collection[str], declared: Mapping[str, Collection[str]]
) -> Power | None:
    """Replicates that would decide an undecided claim; None where more of them are not the issue.

    ``groups`` are the runs that were measured, without their seeds; for ``declared`` see
    :class:`specseq.report.claims.ledger.Ledger`.
    """
    if found.exact:
        return None
    if math.isnan(found.value) or not found.axes or found.same:
        text = _uncounted(found, region)
        return Power(None, None, "", text) if text else None
    distance, half = _nearest(found, region)
    if found.windows >= distance > 0:
        text = "More seeds do not decide it: over the test windows alone the interval reaches the bound"
        return Power(None, None, "", text)
    distance, half = (math.sqrt(max(0.0, x**2 - found.windows**2)) for x in (distance, half))
    needed = {axis.unit: _needed(found, axis, distance, half) for axis in found.axes}
    short = {axis.unit: needed[axis.unit] for axis in found.axes if (needed[axis.unit] or _MOST) > axis.n}
    if not short:  # each axis alone has enough replicates, but the joint interval is too wide
        widest = max(found.axes, key=lambda axis: axis.sd / math.sqrt(axis.n))
        short = {widest.unit: replicates(_implied(widest, half), distance)}
    seeds, configs = short.get("seeds"), short.get("configs")
    scale = _having(seeds, groups, declared) if seeds else ""
    have = {axis.unit: axis.n for axis in found.axes}
    parts = []
    for unit, number in short.items():
        if number is None:
            parts.append(f"no number of {unit} (the estimate lies on the bound)")
        else:
            parts.append(f"{number:,} {unit} (here {have[unit]})")
    known = all(have[unit] > 1 for unit in short)
    text = ("At the spread observed it takes " if known else "It takes at least ") + " and ".join(parts)
    if seeds:
        text += f"; scale {scale} has the seeds" if scale else "; no scale has the seeds"
    return Power(seeds, configs, scale, text)


def _uncounted(found: Measured, region: Region) -> str:
    """Text on what would decide a measurement that more seeds or configs do not."""
    if math.isnan(found.low) or found.same:
        return f"More seeds alone do not decide it: {found.note}" if found.note else ""
    distance, half = _nearest(found, region)
    if not distance > 0 or not math.isfinite(half):
        return ""
    times = (half / distance) ** 2
    return f"At the spread observed it takes {times:,.1f} times as many points or windows"


def _nearest(found: Measured, region: Region) -> tuple[float, float]:
    """Distance to the nearest end of the region on the comparison's scale, and the interval's half there."""
    forward = FORWARD[found.scale]
    value = forward(found.value)
    ends = [(abs(forward(end) - value), end) for end in (region.low, region.high) if math.isfinite(end)]
    distance, end = min((pair for pair in ends if math.isfinite(pair[0])), default=(0.0, found.value))
    return distance, abs(forward(found.high if end > found.value else found.low) - value)


def _needed(found: Measured, axis: Axis, distance: float, half: float) -> int | None:
    if axis.n < 2:
        return 2
    # With one axis, the whole interval is due to it; the bootstrap may have made it wider than Student's.
    sd = axis.sd if math.isfinite(axis.sd) and len(found.axes) > 1 else _implied(axis, half)
    return replicates(sd, distance)


def _implied(axis: Axis, half: float) -> float:
    """The standard deviation that would make half the interval."""
    from scipy.special import stdtrit

    return half * math.sqrt(axis.n) / float(stdtrit(axis.n - 1, 0.975))


def _having(seeds: int, groups: Collection[str], declared: Mapping[str, Collection[str]]) -> str:
    """The smallest scale that declares at least this many seeds of all the runs."""
    having = {}
    for scale, runs in declared.items():
        counts = dict.fromkeys(groups, 0)
        for run in runs:
            group = without_seed(run)
            if group != run and group in counts:
                counts[group] += 1
        if counts and min(counts.values()) >= seeds:
            having[scale] = len(runs)
    return min(having, key=having.__getitem__, default="")
