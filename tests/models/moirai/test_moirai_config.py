"""Configuration: patterns, round trip and refusals."""

import pytest

from specseq.errors import InputError
from specseq.models.moirai.config import MoiraiConfig, StuConfig


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
    assert [n for n in range(6) if stu.kind(n, 6) == "stu"] == layers


def test_params_round_trip() -> None:
    config = MoiraiConfig(d_model=64, layers=2, stu=StuConfig("parallel", "shared", d_ff="matched"))
    assert MoiraiConfig.from_params(config.to_params()) == config
    assert MoiraiConfig.from_params({"kind": "moirai"}) == MoiraiConfig()


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ({"kind": "moirai2"}, r"model\.kind"),
        ({"width": 3}, r"model\.width: is no setting"),
        ({"stu": {"kind": 3}}, r"model\.stu\.kind: is no setting"),
        ({"stu": {"pattern": "both"}}, r"model\.stu\.pattern: 'both'"),
        ({"stu": {"mode": "half"}}, r"model\.stu\.mode: 'half'"),
        ({"stu": {"runs": "row"}}, r"model\.stu\.runs: 'row'"),
        ({"layers": 0}, r"model\.layers: 0"),
        ({"layers": True}, r"model\.layers: True"),
        ({"d_model": 100, "heads": 3}, r"model\.d_model: 100 is not a multiple"),
        ({"d_model": 6, "heads": 1}, r"model\.heads"),
        ({"patch_sizes": [16, 8]}, r"model\.patch_sizes"),
        ({"stu": {"filters": 513}}, r"model\.stu\.filters: 513"),
        ({"stu": {"pattern": "stu_only", "mode": "full", "d_ff": "matched"}}, r"model\.stu\.d_ff"),
    ],
)
def test_bad_settings_are_named(model: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        MoiraiConfig.from_params(model)
