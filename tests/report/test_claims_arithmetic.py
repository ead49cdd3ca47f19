"""The arithmetic behind the ledger, against closed forms and independent computations."""

import cmath
import math
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.errors import InputError
from specseq.report.claims import arithmetic, ledger
from specseq.report.claims.loading import checks_of
from specseq.report.claims.rounding import Range, rounded
from tests.report.planted_claims import claim, verdicts

STUDIES = ("preconditioning", "stu", "equilibrium", "zeta")
CHECKS = checks_of([arithmetic, *(import_module(f"specseq.studies.{name}.checks") for name in STUDIES)])
FIGURE = st.integers(1, 99_999).map(lambda units: f"{units / 1000:.3f}")


def evaluate(name: str, arguments: dict[str, object]) -> Range:
    return CHECKS[name](**arguments)


def value(name: str, **arguments: object) -> float:
    return evaluate(name, arguments).value


@settings(max_examples=60, deadline=None)
@given(FIGURE, FIGURE, st.floats(0, 1), st.floats(0, 1))
def test_ranges_hold_every_value_that_prints_so(a: str, b: str, u: float, v: float) -> None:
    """Whatever the figures were before rounding, the result from them lies in the range."""
    x, y = (p.low + t * (p.high - p.low) for p, t in ((rounded(a), u), (rounded(b), v)))
    checks = {
        "percent_change": ({"value": a, "base": b}, 100 * (x / y - 1)),
        "ratio": ({"a": a, "b": b}, x / y),
        "difference": ({"a": a, "b": b}, x - y),
        "product": ({"of": [a, b]}, x * y),
        "norm": ({"of": [a, b]}, math.hypot(x, y)),
        "largest_magnitude": ({"of": [a, b]}, max(x, y)),
        "minimum": ({"of": [a, b]}, min(x, y)),
    }
    for name, (arguments, truth) in checks.items():
        found = evaluate(name, arguments)
        assert found.low - 1e-9 * abs(truth) - 1e-12 <= truth <= found.high + 1e-9 * abs(truth) + 1e-12, name


def test_lists_and_distances() -> None:
    assert value("largest_step", of=["3", "1", "2"]) == 1
    assert value("largest_difference", a="[1, 2]", b="[1, 2, 0.5]") == 0.5
    assert value("rank_correlation", x=[1, 2, 3, 4], y=["3", "5", "9", "10"]) == pytest.approx(1)
    assert value("rank_correlation", x=[1, 2, 3, 4], y=[9, 5, 3, 1]) == pytest.approx(-1)
    with pytest.raises(InputError, match="4 or more"):
        evaluate("rank_correlation", {"x": [1, 2, 3], "y": [1, 2, 3]})
    with pytest.raises(InputError, match="same length"):
        evaluate("rank_correlation", {"x": [1, 2, 3], "y": [1, 2]})


def test_entropy_and_speed() -> None:
    assert value("percent_of_log", value=math.log(8), categories=8) == pytest.approx(100)
    assert value("share_of_step", fraction=0.5, factor=2) == pytest.approx(4 / 3)
    assert value("share_of_step", fraction=0, factor=10) == 1
    assert value("seconds_per_epoch", rate=2, batches=100) == 50


def test_filters_by_hand() -> None:
    assert value("noise_gain", taps="[0, -0.5]") == pytest.approx(4 / 3)
    assert value("tap_distance", taps="[0, -0.75, 0]", family="chebyshev") == 0
    assert value("tap_distance", taps="[0, -0.5, 0.25]", family="chebyshev", degree=2) == 0.25


def test_parameter_counts_by_hand() -> None:
    assert [value("live_mixture_weights", patch=p) for p in (8, 32, 64, 128)] == [1, 1, 2, 4]
    assert [value("shared_filter_weight", lag=lag) for lag in (1, 2, 3)] == [0, 2, 0]
    assert value("stu_parameters", d_model=384, filters=24) == 156_672
    assert value("stu_parameters", d_model=2, filters=3, full=True) == 24
    sizes = {"d_model": 384, "layers": 6, "heads": 6}
    assert value("moirai_parameters", **sizes) == 13_827_528
    assert value("moirai_parameters", **sizes, stu_layers=3) == 12_527_652
    assert value("mixture_outputs", components=["student_t", "normal_fixed_scale"]) == 6
    assert value("mdn_parameters", width=256, blocks=6, context=256, components=8) == 4_797_464
    memory = value(
        "mdn_parameters", width=256, blocks=6, context=256, components=8, slots=8, extra_positions=8
    )
    assert memory == 4_801_560
    # L = 4, d = 2: 16 + 2·(2·3·2·3 + 3·5) against 64 + 64.
    assert value("mixing_operations", length=4, d_model=2) == pytest.approx(118 / 128)
    assert value("mixing_operations", length=512, d_model=384) < 0.2
    assert value("steps_after_warmup", epochs=100, batches=100, warmup=9_000) == 1_000


def test_filters_that_float64_determines() -> None:
    assert value("resolvable_filters", length=32) >= 8
    few = value("resolvable_filters", length=64)
    assert few <= value("resolvable_filters", length=256) < 30


@settings(max_examples=60, deadline=None)
@given(st.floats(-10, -0.01), st.floats(0, 30))
def test_critical_step_is_where_euler_turns(re: float, im: float) -> None:
    assert value("multiplier_at_critical", re=re, im=im, times=1) == pytest.approx(1, abs=1e-9)
    assert value("multiplier_at_critical", re=re, im=im, times=0.9) < 1
    assert value("multiplier_at_critical", re=re, im=im, times=1.1) > 1
    assert value("damping_slope", re=re, im=im) <= 0


def test_multipliers() -> None:
    assert value("largest_implicit_multiplier", step=1) < 1
    assert value("imex_multiplier", re_nc=1, im_nc=20, step=0.1) == pytest.approx(
        abs(1 + 0.1 * (1 + 20j)) / 1.2
    )
    assert value("critical_step", re=-1, im=39**0.5) == pytest.approx(0.05)
    assert value("flow_multiplier", re=0.5, step=2) == pytest.approx(math.e)
    assert value("critical_step", re=0.1, im=1) == 0
    assert value("rest_point_leak", c=1) == -2


def test_zeros() -> None:
    """γ_10000 and γ_100000000 from Odlyzko's tables: the count is right to within S(T)."""
    assert value("zeros_below", height=9877.782654005501) == pytest.approx(10_000, abs=1.5)
    assert value("zeros_below", height=42653549.76095155) == pytest.approx(100_000_000, abs=2)
    assert value("mean_unfolded_spacing", zeros=100_000_000, last=42653549.76095155) == pytest.approx(
        1, abs=3e-8
    )
    assert value("gue_spread") == pytest.approx(0.4242, abs=1e-4)
    assert value("rows_of_spacings", zeros=513, length=256) == 2
    assert value("points_needed", context=128, horizon=200) == 328
    assert [value("predictions_from_context", length=8, context=c) for c in (0, 1, 7, 8)] == [0, 1, 1, 0]


def test_every_function_says_what_it_computes_and_bad_text_is_refused() -> None:
    assert len(CHECKS) > 30
    assert all(function.__doc__ for function in CHECKS.values())
    assert cmath.isfinite(value("log", of=8))
    with pytest.raises(InputError, match="'pending' is not a number"):
        evaluate("value", {"of": "pending"})


def test_arithmetic_says_inconsistent_or_contradicted(tmp_path: Path) -> None:
    sum_of = {"arithmetic": "total", "of": {"of": [2, 2]}}
    made = [
        claim("right", sum_of, {"about": 4, "within": 0}),
        claim(
            "slip",
            sum_of,
            {"about": 5, "within": 0},
            explain={"inconsistent": "Two and two are {measured}, not {published}."},
        ),
        claim("theorem", sum_of, {"about": 5, "within": 0}, fails="contradicted"),
    ]
    assert verdicts(tmp_path, *made) == {
        "right": "reproduced",
        "slip": "inconsistent",
        "theorem": "contradicted",
    }
    assert ledger(made, tmp_path, "x")[1].explanation == "Two and two are 4, not 1."


def test_rounding_of_the_inputs_counts_for_the_note(tmp_path: Path) -> None:
    """1.0294/1.0238 is 0.547 %; what prints as these figures reaches from 0.537 to 0.557."""
    change = {"arithmetic": "percent_change", "of": {"value": "1.0294", "base": "1.0238"}}
    made = claim("fits", change, {"rounds_to": "0.54"}), claim("fails", change, {"rounds_to": "0.52"})
    assert verdicts(tmp_path, *made) == {"fits": "reproduced", "fails": "inconsistent"}
