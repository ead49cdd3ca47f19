"""A long evaluation goes on, filter by filter, from where it was killed, and forecasts nothing twice."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from specseq.filters import Filter
from specseq.models.protocol import Query
from specseq.scoring.evaluate import evaluate
from specseq.scoring.gift_eval import GiftEvaluation, gift_evaluations
from specseq.scoring.parts import Parts
from specseq.scoring.reversal import ForecastPlan
from specseq.series.arrow_writer import write_folder
from tests.scoring.test_gift_eval import Fake, items, wild_series

FILTERS = {name: Filter("literal", (tap,), name=name) for name, tap in (("a", -0.4), ("b", 0.2))}


class Counting(Fake):
    """Counts what it is asked for, and is killed at one of its calls."""

    def __init__(self, last: int = 1000) -> None:
        self.calls, self.last = 0, last

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        self.calls += 1
        if self.calls > self.last:
            raise KeyboardInterrupt
        return super().forecast(contexts, query)


@pytest.fixture
def evaluation(tmp_path: Path) -> GiftEvaluation:
    arrays = [wild_series(seed, 700 + 9 * seed, "plain") for seed in range(3)]
    write_folder(tmp_path / "data/x", items(arrays, "H"))
    return gift_evaluations(tmp_path / "data", ["short"])[0]


def plan(forecaster: Fake) -> ForecastPlan:
    return ForecastPlan(forecaster, FILTERS, ["self", "plug_in", "oracle"], by_step=True)


def nothing(points: int) -> None:
    pass


def test_the_plain_forecast_is_made_once_for_all_filters(evaluation: GiftEvaluation) -> None:
    forecaster = Counting()
    counted: list[int] = []
    evaluate(evaluation, plan(forecaster), counted.append)
    batches = len(counted) // (1 + len(FILTERS))
    assert forecaster.calls == batches * (1 + len(FILTERS))
    assert sum(counted) == evaluation.points


def test_a_killed_evaluation_goes_on_after_the_last_filter(
    evaluation: GiftEvaluation, tmp_path: Path
) -> None:
    whole = evaluate(evaluation, plan(Fake()))
    parts = Parts(tmp_path / "parts", {"run": "a"})
    with pytest.raises(KeyboardInterrupt):
        parts.evaluate(evaluation, plan(Counting(2)), nothing)
    rest = Counting()
    outcomes = parts.evaluate(evaluation, plan(rest), nothing)
    assert rest.calls == 2  # the second filter, and the median of the unfiltered contexts for its plug-in
    assert list(outcomes) == list(whole)
    for variant, outcome in whole.items():
        np.testing.assert_equal(outcomes[variant].values, outcome.values)
        np.testing.assert_array_equal(outcomes[variant].steps, outcome.steps)
        assert outcomes[variant].filter == outcome.filter
    again = Counting(0)
    assert list(parts.evaluate(evaluation, plan(again), nothing)) == list(whole)
    assert again.calls == 0


def test_parts_of_other_parameters_are_not_used(evaluation: GiftEvaluation, tmp_path: Path) -> None:
    Parts(tmp_path / "parts", {"run": "a"}).evaluate(evaluation, plan(Fake()), nothing)
    other = Counting()
    parts = Parts(tmp_path / "parts", {"run": "b"})
    parts.evaluate(evaluation, plan(other), nothing)
    assert other.calls > 0
    parts.forget()
    assert not (tmp_path / "parts").exists()
