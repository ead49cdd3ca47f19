"""Preconditioned evaluation: invariants of the reversals, the control, divergence."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from specseq.filters import Filter
from specseq.models.preconditioned import FilteredContexts, Mode, Preconditioned, precondition
from specseq.models.protocol import Query, at_levels
from specseq.models.seasonal_naive import SeasonalNaive
from specseq.scoring import reversal
from specseq.scoring.evaluate import evaluate, score
from specseq.scoring.gift_eval import gift_evaluations
from specseq.scoring.metrics import LEVELS
from specseq.scoring.reversal import ForecastPlan, Variant
from specseq.series.arrow_writer import write_folder
from tests.scoring.test_gift_eval import Fake, items, wild_series

MASE = "eval_metrics/MASE[0.5]"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    arrays = [wild_series(seed, 700 + 9 * seed, "plain") for seed in range(3)]
    write_folder(tmp_path / "x", items(arrays, "H"))
    return tmp_path


class Short(Fake):
    """Sees the last twenty values only."""

    context_length: int | None = 20

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        assert {len(context) for context in contexts} == {20}
        return super().forecast(contexts, query)


class Higher(Short):
    """Forecasts more than its parent."""

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        return super().forecast(contexts, query) + np.float32(0.5)


@pytest.mark.parametrize("forecaster", [Fake(), Short(), SeasonalNaive()])
def test_the_identity_changes_nothing(root: Path, forecaster: Fake | SeasonalNaive) -> None:
    (evaluation,) = gift_evaluations(root, ["short"])
    plan = ForecastPlan(
        forecaster, {"none d2": Filter("literal", (0.0, 0.0))}, ["self", "oracle", "plug_in", "fir"]
    )
    outcomes = evaluate(evaluation, plan)
    plain = score(evaluation, forecaster)
    assert len(outcomes) == 5
    for outcome in outcomes.values():
        assert outcome.values == pytest.approx(plain, rel=1e-6)


def test_reversals_score_as_the_wrapped_forecaster_does(root: Path) -> None:
    (evaluation,) = gift_evaluations(root, ["short"])
    made = Filter("literal", (-0.4, 0.1), name="f")
    outcomes = evaluate(
        evaluation, ForecastPlan(Short(), {"f": made}, ["self", "plug_in", "fir", "hybrid"], other=Higher())
    )
    for mode in ("self", "plug_in", "fir"):
        wrapped = score(evaluation, Preconditioned(Short(), made, mode))
        assert outcomes[Variant("fake", "f", mode)].values == pytest.approx(wrapped)
    hybrid = score(evaluation, Preconditioned(Short(), made, "hybrid", other=Higher()))
    assert outcomes[Variant("fake", "f", "hybrid")].values == pytest.approx(hybrid)


def test_contexts_are_filtered_in_pieces(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (evaluation,) = gift_evaluations(root, ["short"])
    plan = ForecastPlan(SeasonalNaive(), {"f": Filter("literal", (-0.5,))}, ["self", "oracle"])
    whole = evaluate(evaluation, plan)
    monkeypatch.setattr(reversal, "CONTEXT_VALUES", 900)
    for variant, outcome in evaluate(evaluation, plan).items():
        assert outcome.values == pytest.approx(whole[variant].values)


def test_the_oracle_comes_with_its_control(root: Path) -> None:
    (evaluation,) = gift_evaluations(root, ["short"])
    plan = ForecastPlan(
        Fake(), {"f": Filter("literal", (-0.5,))}, ["self", "oracle"], control=SeasonalNaive()
    )
    outcomes = evaluate(evaluation, plan)
    assert set(outcomes) == {
        Variant("fake"),
        Variant("seasonal_naive"),
        Variant("fake", "f", "self"),
        Variant("fake", "f", "oracle"),
        Variant("seasonal_naive", "f", "oracle"),
    }
    control, plain = Variant("seasonal_naive", "f", "oracle"), Variant("seasonal_naive")
    assert outcomes[control].values[MASE] < outcomes[plain].values[MASE]


def test_a_perfect_forecast_of_the_filtered_series_is_reversed_to_the_truth(root: Path) -> None:
    (evaluation,) = gift_evaluations(root, ["short"])
    (batch,) = evaluation.batches(10**9)
    taps, windows = np.array([-0.4, 0.2]), batch.windows
    truth = {float(c[-1]): t for c, t in zip(windows.contexts(), windows.targets(), strict=True)}

    class Perfect(Fake):
        def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
            answer = []
            for number, context in enumerate(sorted(windows.contexts(), key=len)):
                known = context.astype(np.float64)
                whole = np.concatenate([known, truth[float(context[-1])]])
                deviation = whole - known.mean()
                lagged = taps[0] * deviation[1:-1] + taps[1] * deviation[:-2]
                answer.append((whole[2:] + lagged)[-query.horizon :])
                assert len(contexts[number]) == len(context)
            return np.repeat(np.stack(answer)[:, None], 9, axis=1).astype(np.float32)

    outcomes = evaluate(
        evaluation, ForecastPlan(Perfect(), {"f": Filter("literal", tuple(taps))}, ["self", "oracle"])
    )
    for mode in ("self", "oracle"):
        assert outcomes[Variant("fake", "f", mode)].values[MASE] < 1e-4
    assert outcomes[Variant("fake")].values[MASE] > 0.1


def test_a_reversal_that_diverges_is_a_result_with_its_reason(root: Path) -> None:
    (evaluation,) = gift_evaluations(root, ["short"])
    plan = ForecastPlan(Fake(), {"wild": Filter("literal", (-20.0, 5.0))}, ["self", "oracle"])
    outcomes = evaluate(evaluation, plan)
    bad = outcomes[Variant("fake", "wild", "self")]
    assert "overflow" in bad.diverged
    assert np.isnan(list(bad.values.values())).all()
    assert np.isfinite(outcomes[Variant("fake", "wild", "oracle")].values[MASE])


class Trained(Short):
    """A model that forecasts in the space of a filter, and undoes it by itself."""

    filter = Filter("literal", (-0.4, 0.1), name="own")
    inverse: tuple[NDArray[np.float64], int] | None = None
    quantile_levels: tuple[float, ...] = LEVELS

    def forecast_filtered(
        self, contexts: Sequence[NDArray[np.float32]], query: Query
    ) -> tuple[FilteredContexts, NDArray[np.float32]]:
        filtered = precondition(contexts, self.filter)
        own = replace(query, quantile_levels=self.quantile_levels)
        return filtered, super().forecast(filtered.series, own)

    def forecast_unfiltered(
        self, contexts: Sequence[NDArray[np.float32]], query: Query
    ) -> NDArray[np.float32]:
        return super().forecast(contexts, replace(query, quantile_levels=(0.5,)))[:, 0]

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        filtered, quantiles = self.forecast_filtered(contexts, query)
        answer = filtered.reverse(quantiles, self.quantile_levels, "self")
        return at_levels(answer, self.quantile_levels, query.quantile_levels)


def test_a_model_with_a_filter_of_its_own(root: Path) -> None:
    (evaluation,) = gift_evaluations(root, ["short"])
    outcomes = evaluate(
        evaluation, ForecastPlan(Trained(), {}, ["self", "oracle", "plug_in"], control=SeasonalNaive())
    )
    own = Variant("fake", "own", "self")
    assert set(outcomes) == {
        *(Variant("fake"), own, Variant("fake", "own", "oracle"), Variant("fake", "own", "plug_in")),
        *(Variant("seasonal_naive"), Variant("seasonal_naive", "own", "oracle")),
    }
    assert outcomes[own].values == pytest.approx(outcomes[Variant("fake")].values)
    assert outcomes[own].filter == Trained.filter
    assert outcomes[Variant("fake", "own", "oracle")].values != outcomes[own].values


class ShortNaive(SeasonalNaive):
    """Seasonal naive that sees no more than the model does."""

    context_length = Short.context_length


@pytest.mark.parametrize("mode", ["plug_in", "hybrid"])
def test_lags_of_a_model_s_own_filter_come_from_forecasts_of_the_raw_series(root: Path, mode: Mode) -> None:
    """Its own, of series as they are, or another model's."""
    (evaluation,) = gift_evaluations(root, ["short"])
    other = ShortNaive() if mode == "hybrid" else None
    outcomes = evaluate(evaluation, ForecastPlan(Trained(), {}, ["self", mode], other=other))
    found = outcomes[Variant("fake", "own", mode)].values

    class ByHand(Trained):
        def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
            filtered, quantiles = self.forecast_filtered(contexts, query)
            median = replace(query, quantile_levels=(0.5,))
            path = (
                other.forecast(contexts, median)[:, 0]
                if other
                else Short.forecast(self, contexts, median)[:, 0]
            )
            return filtered.reverse(quantiles, self.quantile_levels, mode, path_BH=path)

    assert found == pytest.approx(score(evaluation, ByHand()))
    assert found != pytest.approx(outcomes[Variant("fake", "own", "self")].values)


class Skewed(Trained):
    """The same at nine levels of its own, whose median is not in the middle."""

    quantile_levels = (0.01, 0.05, 0.25, 0.5, 0.6, 0.7, 0.8, 0.95, 0.99)


class Few(Trained):
    """The same at three levels."""

    quantile_levels = (0.2, 0.5, 0.9)


@pytest.mark.parametrize("model", [Skewed(), Few()])
def test_a_model_with_levels_of_its_own_is_scored_at_the_benchmarks(root: Path, model: Trained) -> None:
    (evaluation,) = gift_evaluations(root, ["short"])
    outcomes = evaluate(evaluation, ForecastPlan(model, {}, ["self", "oracle"]))
    for variant in (Variant("fake"), Variant("fake", "own", "self")):
        assert outcomes[variant].values == pytest.approx(score(evaluation, model))
    oracles = [evaluate(evaluation, ForecastPlan(m, {}, ["oracle"])) for m in (model, Trained())]
    medians = [outcomes[Variant("fake", "own", "oracle")].values[MASE] for outcomes in oracles]
    assert medians[0] == pytest.approx(medians[1])


class WithInverse(Trained):
    """The same with a finite inverse that was learned with it, of a stride of its own."""

    inverse = (np.array([0.3, 0.1]), 3)


def test_a_learned_inverse_is_the_one_that_reverses(root: Path) -> None:
    (evaluation,) = gift_evaluations(root, ["short"])
    scores = [
        evaluate(evaluation, ForecastPlan(model, {}, ["self", "fir"]))[Variant("fake", "own", "fir")].values[
            MASE
        ]
        for model in (Trained(), WithInverse())
    ]
    assert scores[0] != pytest.approx(scores[1], rel=1e-3)

    class ByHand(WithInverse):
        def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
            filtered, quantiles = self.forecast_filtered(contexts, query)
            taps, stride = self.inverse or (None, None)
            return filtered.reverse(
                quantiles, self.quantile_levels, "fir", inverse_taps=taps, inverse_stride=stride
            )

    assert scores[1] == pytest.approx(score(evaluation, ByHand())[MASE])
