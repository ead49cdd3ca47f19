"""The operators: their algebra, their rule for missing values, their gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from torch import Tensor

from specseq.filters import Filter, design, ideal_inverse, operators
from specseq.seeding import generator

FILTERS = {
    "lyapunov": design({"family": "lyapunov", "degree": 4, "lam": 5}),
    "chebyshev": design({"family": "chebyshev", "degree": 5}),
    "learned": design({"family": "literal", "taps": [-0.667, -0.126, -0.056, -0.045]}),
    "learned, stride 16": design(
        {"family": "literal", "taps": [-0.115, -0.039, -0.031, -0.001], "stride": 16}
    ),
    "difference, stride 3": design({"family": "difference", "stride": 3}),
    "64 taps": Filter("literal", tuple(0.3 * 0.7 ** np.arange(64))),
}
PARAMETERS = pytest.mark.parametrize("filter", FILTERS.values(), ids=FILTERS.keys())


def walk(rows: int, length: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(generator(0, "walk").normal(size=(rows, length)).cumsum(1)).to(dtype)


def split(filter: Filter, horizon: int = 150) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Taps, tail, truth, perfect filtered forecast and some errors."""
    y = walk(6, 300 + horizon)
    taps = torch.from_numpy(filter.array)
    z = operators.forward(y, taps, filter.stride)
    errors = torch.from_numpy(generator(0, "errors").normal(size=(6, horizon)))
    return taps, y[:, 300 - filter.reach : 300], y[:, 300:], z[:, 300:], errors


def long_taps(filter: Filter) -> np.ndarray:
    spread = np.zeros(filter.reach + 1)
    spread[:: filter.stride] = [1.0, *filter.taps]
    return spread


@PARAMETERS
def test_forward_is_lfilter_beyond_the_reach(filter: Filter) -> None:
    y = walk(3, 400)
    z = operators.forward(y, torch.from_numpy(filter.array), filter.stride)
    wanted = lfilter(long_taps(filter), [1.0], y.numpy())
    np.testing.assert_allclose(z[:, filter.reach :], wanted[:, filter.reach :], atol=1e-11)
    assert torch.equal(z[:, : filter.reach], y[:, : filter.reach])


@PARAMETERS
def test_perfect_forecast_gives_back_the_series(filter: Filter) -> None:
    taps, tail, truth, z, _ = split(filter)
    for found in (
        operators.self_reversal(z, tail, taps, filter.stride),
        z - operators.self_shift(z, tail, taps, filter.stride),
        operators.path_reversal(z, truth, tail, taps, filter.stride),
        z - operators.path_shift(truth, tail, taps, filter.stride),
    ):
        assert (found - truth).abs().max() < 1e-12 * max(1, truth.abs().max())


@PARAMETERS
def test_error_laws(filter: Filter) -> None:
    """Oracle: the error stays E. Self: it becomes E/A."""
    taps, tail, truth, z, errors = split(filter)
    oracle = operators.path_reversal(z + errors, truth, tail, taps, filter.stride)
    np.testing.assert_allclose(oracle - truth, errors, atol=1e-12)
    own = operators.self_reversal(z + errors, tail, taps, filter.stride)
    np.testing.assert_allclose(own - truth, lfilter([1.0], long_taps(filter), errors.numpy()), atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_taps_change_no_bit(dtype: torch.dtype) -> None:
    y = walk(4, 200, dtype)
    taps = torch.zeros(4, dtype=dtype, requires_grad=True)
    tail, quantiles = y[:, :8], torch.stack([y[:, 100:] - 1, y[:, 100:], y[:, 100:] + 1], 1)
    assert torch.equal(operators.forward(y, taps, 2), y)
    assert torch.equal(operators.self_reversal(quantiles[:, 1], tail, taps, 2), quantiles[:, 1])
    own = operators.self_shift(quantiles[:, 1], tail, taps, 2)
    oracle = operators.path_shift(y[:, 50:150], tail, taps, 2)
    for shift in (own, oracle):
        assert torch.equal(quantiles - shift[:, None], quantiles)


def test_ideal_finite_inverse_leaves_nothing() -> None:
    filter = FILTERS["lyapunov"]
    taps, inverse = torch.from_numpy(filter.array), torch.from_numpy(ideal_inverse(filter, 64))
    y = walk(3, 2000)
    z = operators.forward(y, taps)
    residual = operators.hint(y, taps)
    at_horizon = operators.fir_shift(z[:, 1900:], z[:, 1836:1900], inverse)
    assert ((at_horizon - residual[:, 1900:]).abs().max() / residual.abs().max()) < 1e-12
    np.testing.assert_allclose(z[:, 1900:] - at_horizon, y[:, 1900:], atol=1e-11)


def test_hint_is_what_the_filter_adds() -> None:
    y = walk(2, 60)
    y[0, 20] = torch.nan
    taps = torch.tensor([-0.5, 0.25], dtype=y.dtype)
    hint = operators.hint(y, taps, 3)
    there = ~torch.isnan(y)
    np.testing.assert_allclose(hint[there], (operators.forward(y, taps, 3) - y)[there], atol=1e-14)
    assert torch.equal(hint != 0, operators.applies(y, 2, 3))


def reference_forward(
    y: np.ndarray, taps: np.ndarray, stride: int, ids: np.ndarray, observed: np.ndarray, missing: str
) -> np.ndarray:
    """The rule in words, one point at a time."""
    z = y.copy()
    for t in range(len(y)):
        lags = [t - i * stride for i in range(1, len(taps) + 1)]
        same = t - len(taps) * stride >= 0 and len({*ids[t - len(taps) * stride : t + 1].tolist()}) == 1
        if not same or not observed[t]:
            continue
        if missing == "skip" and not observed[lags].all():
            continue
        z[t] = y[t] + sum(tap * y[lag] for tap, lag in zip(taps, lags, strict=True) if observed[lag])
    return z


wild = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "length": st.integers(1, 60),
        "degree": st.integers(1, 5),
        "stride": st.integers(1, 6),
        "share": st.sampled_from([0.0, 0.05, 0.5, 1.0]),
        "missing": st.sampled_from(["skip", "zero"]),
        "scale": st.sampled_from([1.0, 1e12, 0.0]),
    }
)


@settings(max_examples=120, deadline=None)
@given(case=wild, series=st.integers(1, 4), masked=st.booleans())
def test_forward_keeps_its_rule(case: dict, series: int, masked: bool) -> None:
    rng = np.random.default_rng(case["seed"])
    y = case["scale"] * rng.normal(size=case["length"])
    taps = rng.normal(size=case["degree"])
    ids = np.sort(rng.integers(0, series, case["length"]))
    observed = rng.random(case["length"]) >= case["share"]
    if not masked:
        y[~observed] = np.nan
    found = operators.forward(
        torch.from_numpy(y)[None], torch.from_numpy(taps), case["stride"],
        observed=torch.from_numpy(observed)[None] if masked else None,
        ids=torch.from_numpy(ids)[None] if series > 1 else None,
        missing=case["missing"],
    )[0].numpy()  # fmt: skip
    wanted = reference_forward(y, taps, case["stride"], ids, observed, case["missing"])
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * case["scale"])
    assert np.array_equal(np.isnan(found), np.isnan(y)), "missing stays missing, and nothing else becomes so"


@settings(max_examples=120, deadline=None)
@given(case=wild, recursive=st.booleans())
def test_reversal_keeps_the_rule(case: dict, recursive: bool) -> None:
    """A perfect forecast gives back the series, whatever is missing before the horizon or in a truth."""
    rng = np.random.default_rng(case["seed"])
    reach, horizon = case["degree"] * case["stride"], case["length"]
    y = rng.normal(size=2 * reach + horizon)
    y[: 2 * reach][rng.random(2 * reach) < case["share"]] = np.nan
    if not recursive:
        y[2 * reach :][rng.random(horizon) < case["share"]] = np.nan
    taps = torch.from_numpy(0.5 * rng.normal(size=case["degree"]) / case["degree"])
    series = torch.from_numpy(y)
    z = operators.forward(series, taps, case["stride"], missing=case["missing"])[2 * reach :]
    tail, truth = series[reach : 2 * reach], series[2 * reach :]
    if recursive:
        found = operators.self_reversal(z, tail, taps, case["stride"], missing=case["missing"])
    else:
        found = operators.path_reversal(z, truth, tail, taps, case["stride"], missing=case["missing"])
    np.testing.assert_allclose(found, truth, atol=1e-10)


def test_shift_carries_no_nan_from_a_truth_with_gaps() -> None:
    filter = FILTERS["lyapunov"]
    taps, tail, truth, z, _ = split(filter)
    truth[:, 3::7] = torch.nan
    found = operators.path_reversal(z, truth, tail, taps)
    assert not torch.isnan(found).any()


def test_missing_tap_injects_no_value() -> None:
    """A level far from zero stays where it was: an imputed raw 0 would show as a step of c·level."""
    y = torch.full((1, 50), 1000.0, dtype=torch.float64)
    y[0, 20] = torch.nan
    taps = torch.tensor([0.0, -0.5], dtype=torch.float64)
    z = operators.forward(y, taps)
    assert z[0, 22] == 1000.0
    assert z[0, 21] == 1000.0
    assert z[0, 23] == 500.0


def test_ids_separate_series_in_one_row() -> None:
    filter = FILTERS["learned"]
    taps = torch.from_numpy(filter.array)
    parts = [walk(1, n)[:, :n] for n in (3, 40, 25)]
    ids = torch.repeat_interleave(torch.tensor([7, 7 + 3, 7]), torch.tensor([3, 40, 25]))[None]
    joined = operators.forward(torch.cat(parts, 1), taps, ids=ids)
    apart = torch.cat([operators.forward(part, taps) for part in parts], 1)
    np.testing.assert_allclose(joined, apart, atol=1e-14)


def test_leading_dimensions() -> None:
    filter = FILTERS["learned, stride 16"]
    taps, tail, truth, z, _ = split(filter)
    flat = operators.self_shift(z, tail, taps, 16)
    shaped = operators.self_shift(z.reshape(2, 3, -1), tail.reshape(2, 3, -1), taps, 16)
    # Vectorised loops may contract multiply and add where their scalar remainders do not.
    torch.testing.assert_close(shaped.reshape(flat.shape), flat, rtol=1e-13, atol=1e-13)
    shared = operators.path_reversal(z.reshape(2, 3, -1), truth.reshape(2, 3, -1), tail[:3], taps, 16)
    assert shared.shape == (2, 3, z.shape[-1])


def test_single_precision_and_autocast_keep_precision() -> None:
    filter = FILTERS["learned"]
    taps, tail, truth, z, _ = split(filter)
    with torch.autocast("cpu", torch.bfloat16):
        found = operators.self_reversal(z.float(), tail.float(), taps.float())
    assert found.dtype == torch.float32
    assert (found - truth).abs().max() < 1e-4


def gradient_cases() -> dict[str, object]:
    nan = torch.nan

    def holes(tail: Tensor) -> Tensor:
        gap = torch.zeros_like(tail)
        gap[0, 1] = nan
        return tail + gap

    ids = torch.tensor([[0] * 4 + [1] * 7, [3] * 11])
    observed = torch.arange(11)[None].expand(2, 11) % 5 != 4
    return {
        "forward": lambda z, p, t, c, s: operators.forward(p, c, s),
        "forward with ids": lambda z, p, t, c, s: operators.forward(p, c, s, ids=ids),
        "forward with a mask": lambda z, p, t, c, s: operators.forward(p, c, s, observed=observed),
        "hint": lambda z, p, t, c, s: operators.hint(p, c, s, observed=observed, missing="zero"),
        "self": lambda z, p, t, c, s: operators.self_reversal(z, t, c, s),
        "self with gaps": lambda z, p, t, c, s: operators.self_reversal(z, holes(t), c, s),
        "self shift": lambda z, p, t, c, s: operators.self_shift(z, t, c, s),
        "path": lambda z, p, t, c, s: operators.path_reversal(z, p, t, c, s),
        "path with gaps": lambda z, p, t, c, s: operators.path_reversal(z, p, holes(t), c, s),
        "finite inverse": lambda z, p, t, c, s: operators.fir_shift(z, t, c, s),
    }


@pytest.mark.parametrize("stride", [1, 3, 5])
@pytest.mark.parametrize("name", gradient_cases())
def test_gradients(name: str, stride: int) -> None:
    """Against finite differences, for series, history, forecast and taps."""
    rng = generator(0, "gradients", name)
    operator = gradient_cases()[name]

    def leaf(*shape: int) -> Tensor:
        return torch.from_numpy(0.5 * rng.normal(size=shape)).requires_grad_()

    inputs = (leaf(2, 11), leaf(2, 11), leaf(2, 3 * stride), leaf(3))
    assert torch.autograd.gradcheck(lambda *given: operator(*given, stride), inputs)


def test_gradient_over_several_blocks() -> None:
    """Rows longer than a block of the recursion, and more rows than a block of the sums."""
    z, tail = walk(3, 150).requires_grad_(), walk(3, 2).requires_grad_()
    taps = torch.tensor([-0.3, 0.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(operators.self_reversal, (z, tail, taps), fast_mode=True)
    many = torch.randn(300, 1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = operators.forward(many, taps).square().sum()
    (slope,) = torch.autograd.grad(loss, taps)
    wanted = [
        2 * (operators.forward(many, taps)[:, 2:] * many[:, 2 - lag : 1000 - lag]).sum() for lag in (1, 2)
    ]
    np.testing.assert_allclose(slope, torch.stack(wanted).detach(), rtol=1e-10)


@pytest.mark.parametrize("shape", [(2, 0), (0, 5), (3, 0, 4), (2, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_series_without_a_point_to_filter(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    y = torch.ones(shape, dtype=dtype)
    taps = torch.tensor([-0.5, 0.2], dtype=dtype)
    for stride in (1, 7):
        tail = torch.ones(*shape[:-1], 2 * stride, dtype=dtype)
        assert torch.equal(operators.forward(y, taps, stride), y)
        assert operators.self_reversal(y, tail, taps, stride).shape == shape
