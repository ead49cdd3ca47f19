"""Upstream's state dict both ways."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from specseq.errors import InputError
from specseq.models.moirai.config import MoiraiConfig
from specseq.models.moirai.model import Moirai
from specseq.models.upstream import moirai_to_upstream
from tests.models.foreign import moirai_from_upstream

Build = Callable[..., Moirai]


def back(theirs: dict[str, torch.Tensor], model: Moirai) -> Moirai:
    return moirai_from_upstream(theirs, model.config).double()


def test_there_and_back_is_the_same_model(build: Build, batch) -> None:
    model = build(parity=True)
    theirs = moirai_to_upstream(model)
    again = back(theirs, model)
    assert replace(again.config, stu=model.config.stu) == replace(
        model.config, d_ff=model.config.feed_forward
    )
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    assert torch.equal(model(batch).raw_12Q, again(batch).raw_12Q)
    assert {k: v.shape for k, v in moirai_to_upstream(again).items()} == {
        k: v.shape for k, v in theirs.items()
    }


def test_upstream_shapes_of_the_small_model() -> None:
    with torch.device("meta"):
        theirs = moirai_to_upstream(Moirai(MoiraiConfig(parity=True)))
    assert sum(value.numel() for value in theirs.values()) == 13_827_528
    assert theirs["encoder.layers.5.ffn.fc_gate.weight"].shape == (1024, 384)
    assert theirs["encoder.layers.0.self_attn.var_attn_bias.emb.weight"].shape == (2, 6)
    assert theirs["param_proj.proj.weights_logits.weight"].shape == (5, 512, 384)
    assert theirs["param_proj.proj.components.3.scale.bias"].shape == (5, 128)


def test_checkpoint_prefix_is_taken_off(build: Build) -> None:
    model = build(parity=True)
    prefixed = {f"module.{name}": value for name, value in moirai_to_upstream(model).items()}
    assert torch.equal(back(prefixed, model).heads.weight, model.heads.weight)


def test_missing_superfluous_and_misshapen_weights_are_named(build: Build) -> None:
    model = build(parity=True)
    theirs = moirai_to_upstream(model)
    with pytest.raises(InputError, match=r"encoder\.layers\.1\.norm1\.weight is missing"):
        back({k: v for k, v in theirs.items() if k != "encoder.layers.1.norm1.weight"}, model)
    with pytest.raises(InputError, match="holds quantiles"):
        back({**theirs, "quantiles": torch.zeros(1)}, model)
    with pytest.raises(InputError, match=r"input\.weight would be \[2, 16, 32\]"):
        back({**theirs, "in_proj.weight": theirs["in_proj.weight"][:2]}, model)


def test_what_upstream_cannot_express_is_refused(build: Build) -> None:
    with pytest.raises(InputError, match=r"model\.stu\.pattern"):
        moirai_to_upstream(build({"pattern": "alternating"}, parity=True))
    with pytest.raises(InputError, match=r"model\.parity"):
        moirai_to_upstream(build())
