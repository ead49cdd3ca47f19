"""Naive: the last value for ever, with the random walk's interval σ √(h + 1) at step h = 0, 1, ..."""

from specseq.models.seasonal_naive import SeasonalNaive


def naive(benchmark: str = "gift_eval") -> SeasonalNaive:
    """The published Naive of a benchmark, ``gift_eval`` or ``fev``: Seasonal Naive with a season of one."""
    if benchmark == "fev":
        return SeasonalNaive.fev(season_length=1, name="naive")
    return SeasonalNaive(season_length=1, name="naive")
