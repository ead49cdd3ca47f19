"""Batches from several processes are those of one, from any state; errors and ends come through."""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch

from specseq.models.moirai.config import MoiraiConfig
from specseq.models.moirai.training import MoiraiStream
from specseq.models.moirai2.batch import Moirai2Stream
from specseq.models.moirai2.config import Moirai2Config
from specseq.series.store import Store
from specseq.series.stream import moirai2_stream, moirai_stream
from specseq.studies.cost.step import nominal_store
from specseq.training.ahead import Loaders
from specseq.training.batches import Parts
from tests.training.counting import Count

CPU = torch.device("cpu")


def store() -> Store:
    """Many series of random values."""
    made = nominal_store(40, 200)
    made.__dict__["values"] = [np.random.default_rng(1).standard_normal(200).astype(np.float32)]
    return made


def moirai2() -> Parts:
    config = Moirai2Config(tokens=32)
    packed = moirai2_stream(store(), 4, 3, config.tokens, pool=16, patch_slot=config.patch)
    return Parts(Moirai2Stream(packed, config), range(2), 2, CPU)


def hybrid() -> Parts:
    config = MoiraiConfig(max_length=32)
    packed = moirai_stream(store(), 4, 3, config.max_length, pool=16, patch_sizes=config.patch_sizes)
    return Parts(MoiraiStream(packed, config), range(1), 1, CPU)


def same(one: Any, other: Any) -> bool:
    """Whether two batches hold the same bits."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


@pytest.mark.parametrize("make", [moirai2, hybrid])
@pytest.mark.parametrize("processes", [1, 3])
def test_batches_and_states_do_not_depend_on_the_processes(make: Callable[[], Parts], processes: int) -> None:
    plain, loaders = make(), Loaders(make(), processes)
    for _ in range(5):
        assert same(next(plain), next(loaders))
        assert loaders.state_dict() == plain.state_dict()
    state = loaders.state_dict()
    ahead = [next(loaders) for _ in range(2)]
    loaders.load_state_dict(state)
    assert same(ahead, [next(loaders) for _ in range(2)])
    loaders.close()
    assert same(next(make_at(make, loaders.state_dict())), next(loaders))
    loaders.close()
    until(lambda: not multiprocessing.active_children())


def make_at(make: Callable[[], Parts], state: Mapping[str, Any]) -> Parts:
    stream = make()
    stream.load_state_dict(state)
    return stream


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_error_is_raised_in_its_turn() -> None:
    loaders = Loaders(Count(bad=3), 2)
    assert [next(loaders) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="shard gone"):
        next(loaders)
    assert loaders.state_dict() == {"number": 3}


def test_the_generator_of_the_training_is_left_alone() -> None:
    torch.manual_seed(0)
    loaders = Loaders(Count(bad=3), 1)
    next(loaders)
    loaders.close()
    drawn = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(3))
