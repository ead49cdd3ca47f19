"""Settings: patterns, round trip and refusals."""

import pytest

from specseq.errors import InputError
from specseq.models.moirai.config import MoiraiConfig, MoiraiData, StuConfig
from specseq.settings import plain, read


@pytest.mark.parametrize(
    ("pattern", "layers"),
    [
        ("attention", []),
        ("alternating", [0, 2, 4]),
        ("first_half", [0, 1, 2]),
        ("last_half", [3, 4, 5]),
        ("stu_only", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_patterns_place_the_spectral_layers(pattern: str, layers: list[int]) -> None:
    stu = StuConfig(pattern=pattern)  # type: ignore[arg-type]
    assert [n for n in range(6) if stu.mixing(n, 6) == "stu"] == layers


def test_params_round_trip() -> None:
    config = MoiraiConfig(d_model=64, layers=2, stu=StuConfig("parallel", "shared", d_ff="matched"))
    assert read(MoiraiConfig, plain(config), "model") == config
    assert read(MoiraiConfig, {"kind": "moirai"}, "model") == MoiraiConfig()


def test_zero_and_null_take_the_derived_widths() -> None:
    sizes = [read(MoiraiConfig, {"heads": value, "d_ff": value}, "model") for value in (0, None)]
    assert [(config.head_count, config.feed_forward) for config in sizes] == [(6, 1024)] * 2


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ({"kind": "moirai2"}, r"model\.kind"),
        ({"width": 3}, r"model\.width: unknown key"),
        ({"stu": {"kind": 3}}, r"model\.stu\.kind: unknown key"),
        ({"stu": {"pattern": "both"}}, r"model\.stu\.pattern: 'both'"),
        ({"stu": {"mode": "half"}}, r"model\.stu\.mode: 'half'"),
        ({"stu": {"runs": "row"}}, r"model\.stu\.runs: 'row'"),
        ({"layers": 0}, r"model\.layers: 0"),
        ({"layers": True}, r"model\.layers: true"),
        ({"d_model": 100, "heads": 3}, r"model\.heads: 3 heads do not divide the width 100"),
        ({"d_model": 6, "heads": 1}, r"model\.heads"),
        ({"patch_sizes": [16, 8]}, r"model\.patch_sizes"),
        ({"stu": {"pattern": "stu_only", "filters": 513}}, r"model\.stu\.filters: 513"),
        ({"stu": {"pattern": "stu_only", "mode": "full", "inner": 8}}, r"model\.stu\.inner"),
        ({"stu": {"pattern": "stu_only", "mode": "full", "inner": 16}}, r"model\.stu\.inner"),
        ({"stu": {"inner": 16}}, r"model\.stu\.inner: has no effect"),
        ({"stu": {"pattern": "stu_only", "mode": "full", "d_ff": "matched"}}, r"model\.stu\.d_ff"),
    ],
)
def test_bad_settings_are_named(model: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        read(MoiraiConfig, model, "model")


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"mask_ratio": [0.5, 0.2]}, r"data\.mask_ratio: \[0\.5, 0\.2\] is not increasing"),
        ({"mask_ratio": [0.5, 1.2]}, r"data\.mask_ratio\.1"),
        ({"sampling": "custom"}, r"data\.weights: missing"),
        ({"weights": {"a": 1.0}}, r"data\.weights: unused with sampling unweighted"),
        ({"sampling": "custom", "weights": {"a": float("nan")}}, r"data\.weights\.a"),
        ({"sampling": "custom", "weights": {"a": 0}}, r"data\.weights: no weight is positive"),
        ({"pool": 0}, r"data\.pool"),
    ],
)
def test_bad_data_settings_are_named(data: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        read(MoiraiData, data, "data")
