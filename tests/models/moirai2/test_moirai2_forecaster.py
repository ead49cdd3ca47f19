"""Moirai2's forecasts, filtered, reversed and plain."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specseq.errors import InputError
from specseq.models.kinds import load_trained
from specseq.models.moirai2.forecaster import Moirai2Forecaster
from specseq.models.moirai2.model import PreconditionedMoirai2
from specseq.models.moirai2.training import model_of
from specseq.models.protocol import Query
from specseq.training.checkpoint import save_weights
from tests.models.moirai2.small import (
    LEVELS,
    LYAPUNOV,
    MODES,
    NOTHING,
    built,
    drawn,
    pack,
    params,
)


def series(count: int = 3, seed: int = 3) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(5, 90, count)
    return [100 + draw.standard_normal(n).cumsum().astype(np.float32) for n in lengths]


def reference(model: PreconditionedMoirai2, context: np.ndarray, horizon: int) -> np.ndarray:
    """Forecast by whole passes over context and path, one path at a time: no cache, no batches.

    Paths of filtered points follow the filtered context; paths of raw ones are filtered and hinted with it.
    """
    patch, levels = model.config.patch, torch.tensor(model.config.quantile_levels)
    lead = -len(context) % patch
    raw = torch.cat((torch.full((lead,), float("nan")), torch.from_numpy(context)))
    observed = torch.isfinite(raw)
    known = raw[observed].double()
    loc, scale = known.mean(), (known.var() + 1e-5).sqrt()
    scaled = torch.where(observed, (raw.double() - loc) / scale, 0.0).float()
    raw_paths = model.raw_head is not None or model.settings.hint is not None

    def predict(path: Tensor) -> Tensor:
        there = torch.cat((observed, torch.ones(len(path), dtype=torch.bool)))
        whole, hints = torch.cat((scaled, path)), None
        if raw_paths:
            points, hints = model.filtered(whole, there), model.hints(whole, there)
        else:
            points = torch.cat((model.filtered(scaled, observed), path))
        if hints is not None:
            hints = hints.unflatten(-1, (-1, patch)).transpose(0, 1)
        embedded = model.backbone.tokens(points.view(-1, patch), there.view(-1, patch), hints)
        tokens = len(embedded)
        batch = drawn(pack([[tokens]], tokens), 0.0).prepare()
        state = model.backbone(embedded, model.backbone.context(batch.layout, batch.time_T))[-1:]
        return model.backbone.quantiles(state, model.raw_head)[0].transpose(0, 1).flatten(1)

    paths = predict(torch.zeros(0))
    while paths.shape[1] < horizon:
        values = torch.cat([predict(path) for path in paths])
        assert values.shape[0] == 81
        paths = torch.cat((paths, torch.quantile(values, levels, dim=0)), dim=1)
    return (paths[:, :horizon].double().sort(dim=0).values * scale + loc).detach().numpy()


@pytest.mark.parametrize("horizon", [3, 16, 17, 50])
def test_forecast_is_the_plain_81_path_reduction(horizon: int) -> None:
    model = built()
    contexts = series()
    contexts[1][3:6] = np.nan
    found = Moirai2Forecaster(model).forecast(contexts, Query(horizon, LEVELS))
    assert found.shape == (3, 9, horizon)
    for context, quantiles in zip(contexts, found, strict=True):
        limit = (24 - 4) * 4
        np.testing.assert_allclose(
            quantiles, reference(model, context[-limit:], horizon), rtol=2e-5, atol=2e-4
        )


def test_filtered_forecasts_and_their_reversal() -> None:
    model = built(filter={"family": "literal", "taps": [-0.3, -0.2]})
    contexts = [context[-40:] for context in series(8) if len(context) > 20][:3]
    forecaster = Moirai2Forecaster(model)
    filtered, quantiles = forecaster.forecast_filtered(contexts, Query(20, LEVELS))
    assert filtered is not None
    for context, one in zip(contexts, quantiles, strict=True):
        np.testing.assert_allclose(one, reference(model, context, 20), rtol=2e-5, atol=2e-4)
    found = forecaster.forecast(contexts, Query(20, LEVELS))
    mean = np.array([context.astype(np.float64).mean() for context in contexts])
    for row, context in enumerate(contexts):
        past = list(context.astype(np.float64) - mean[row])
        for step in range(20):
            shift = -0.3 * past[-1] - 0.2 * past[-2]
            past.append(quantiles[row, 4, step] - mean[row] - shift)
            np.testing.assert_allclose(
                found[row, :, step], quantiles[row, :, step] - shift, rtol=1e-4, atol=1e-3
            )
    truth = np.random.default_rng(0).standard_normal((len(contexts), 20)) + mean[:, None]
    oracle = filtered.reverse(quantiles, LEVELS, "oracle", path_BH=truth)
    assert not np.allclose(oracle, found)


def test_learned_inverse_reverses_too() -> None:
    spec = {"family": "literal", "taps": [-0.3, -0.2], "stride": 2}
    model = built(filter=spec, preconditioning={"fir": {"length": 5, "stride": 2}})
    with torch.no_grad():
        model.inverse_taps.copy_(torch.tensor([0.3, 0.29, 0.147, 0.1021, 0.06003]))  # type: ignore[union-attr]
    forecaster, contexts = (
        Moirai2Forecaster(model),
        [context[-60:] for context in series(9) if len(context) > 60],
    )
    filtered, quantiles = forecaster.forecast_filtered(contexts, Query(12, LEVELS))
    assert filtered is not None
    assert forecaster.inverse is not None
    taps, stride = forecaster.inverse
    found = filtered.reverse(quantiles, LEVELS, "fir", inverse_taps=-taps, inverse_stride=stride)
    path = np.concatenate([filtered.filtered_tail, quantiles[:, 4] - filtered.location_B[:, None]], axis=1)
    for step in range(12):
        lags = path[:, [path.shape[1] - 12 + step - 2 * lag for lag in range(1, 6)]]
        shift = np.nan_to_num(lags) @ -taps
        np.testing.assert_allclose(
            found[:, :, step], quantiles[:, :, step] - shift[:, None], rtol=1e-4, atol=1e-3
        )


@pytest.mark.parametrize("mode", [*MODES, {"dual_head": True}], ids=json.dumps)
def test_zero_taps_forecast_as_the_baseline_to_the_bit(mode: dict[str, Any]) -> None:
    model = built(filter=NOTHING, preconditioning=mode)
    if model.raw_head is not None:
        model.raw_head.load_state_dict(model.backbone.head.state_dict())
    query, contexts = Query(40, LEVELS), series()
    contexts[1][3:6] = np.nan
    expected = Moirai2Forecaster(built()).forecast(contexts, query)
    forecaster = Moirai2Forecaster(model)
    assert np.array_equal(forecaster.forecast(contexts, query), expected)
    filtered, quantiles = forecaster.forecast_filtered(contexts, query)
    if filtered is not None:
        truth = np.random.default_rng(0).standard_normal((len(contexts), 40))
        assert np.array_equal(filtered.reverse(quantiles, LEVELS, "oracle", path_BH=truth), expected)
        taps, stride = forecaster.inverse or (None, None)
        inverse = filtered.reverse(quantiles, LEVELS, "fir", inverse_taps=taps, inverse_stride=stride)
        assert np.array_equal(inverse, expected)


def test_unfiltered_forecasts_are_those_of_the_model_without_its_filter() -> None:
    query, contexts = Query(40, LEVELS), series()
    contexts[1][3:6] = np.nan
    plain, filtered = built(), built(filter={"family": "literal", "taps": [-0.9, -0.4]})
    expected = Moirai2Forecaster(plain).forecast(contexts, query)[:, 4]
    found = Moirai2Forecaster(filtered).forecast_unfiltered(contexts, query)
    assert np.array_equal(found, expected)
    assert not np.allclose(Moirai2Forecaster(filtered).forecast(contexts, query)[:, 4], expected)


@pytest.mark.parametrize("mode", [{"dual_head": True}, {"hint": {}}], ids=json.dumps)
def test_fed_back_points_are_filtered_and_hinted(mode: dict[str, Any]) -> None:
    model = built(filter={"family": "literal", "taps": [-0.9, -0.4]}, preconditioning=mode)
    contexts = [context[-60:] for context in series(8) if len(context) > 40][:2]
    contexts[1][-4:-1] = np.nan
    found = Moirai2Forecaster(model).forecast(contexts, Query(50, LEVELS))
    for context, quantiles in zip(contexts, found, strict=True):
        np.testing.assert_allclose(quantiles, reference(model, context, 50), rtol=2e-5, atol=2e-4)


WILD = st.lists(
    st.sampled_from([0.0, 1.0, -1.0, 1e30, -1e30, 1e-30, float("nan"), float("inf"), -float("inf"), 3e38]),
    min_size=1,
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(contexts=st.lists(WILD, min_size=1, max_size=3), horizon=st.integers(1, 20))
def test_wild_contexts_give_finite_ordered_quantiles(contexts: list[list[float]], horizon: int) -> None:
    arrays = [np.array(context, np.float32) for context in contexts]
    found = Moirai2Forecaster(built()).forecast(arrays, Query(horizon, (0.05, 0.1, 0.35, 0.5, 0.95)))
    assert found.shape == (len(contexts), 5, horizon)
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=1) >= 0).all()


def test_forecaster_from_its_weights_file(tmp_path: Path) -> None:
    given = params(filter=LYAPUNOV, preconditioning={"learnable": True})
    model = model_of(given)
    with torch.no_grad():
        assert model.taps is not None
        model.taps.add_(0.05)
    path = tmp_path / "some_run" / "weights.safetensors"
    save_weights(path, model, given)
    forecaster = load_trained(path, batch_size=2)
    assert forecaster.name == "some_run"
    query, contexts = Query(9, LEVELS), series()
    # Batches of another size may take other float32 kernels, which round differently.
    expected = Moirai2Forecaster(model).forecast(contexts, query)
    np.testing.assert_allclose(forecaster.forecast(contexts, query), expected, rtol=1e-4, atol=1e-4)
    save_weights(path, model_of(params()), given)
    with pytest.raises(InputError, match="do not fit"):
        load_trained(path)
    with torch.no_grad():
        model.taps.fill_(float("nan"))
    save_weights(path, model, given)
    with pytest.raises(InputError, match="diverged"):
        load_trained(path)
