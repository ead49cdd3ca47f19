"""Checkpoints and weights: whole, checked, and nothing in them can run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from specseq.errors import InputError
from specseq.training.checkpoint import Checkpoints, diverged, load_weights, pack, save_weights, unpack

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
KEYS = st.text() | st.integers() | st.booleans()
STATE = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    """Equality to the bit and the type, NaN included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a.hex() == b.hex()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


@settings(max_examples=150, deadline=None)
@given(state=STATE)
def test_plain_state_comes_back_as_it_was(state: Any) -> None:
    assert same(unpack(*pack(state)), state)


def test_arrays_tensors_and_generators_come_back() -> None:
    generator = np.random.Generator(np.random.PCG64(3))
    state = {
        "random": generator.bit_generator.state,
        "tensors": [torch.arange(3), torch.tensor(2.5, dtype=torch.bfloat16), torch.zeros(0, 2)],
        "arrays": (np.arange(4, dtype=np.uint32), np.array([], np.float64)),
        0: {"step": torch.tensor(3.0)},
    }
    assert same(unpack(*pack(state)), state)


def test_unknown_things_are_refused() -> None:
    with pytest.raises(TypeError, match="holds a object"):
        pack({"a": object()})


def save_three(folder: Path) -> Checkpoints:
    checkpoints = Checkpoints(folder, "digest")
    for step in (10, 20, 30):
        checkpoints.save(step, {"x": torch.full((1000,), float(step))})
    return checkpoints


def test_two_generations_are_kept(tmp_path: Path) -> None:
    checkpoints = save_three(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    step, state = checkpoints.load() or (0, None)
    assert step == 30
    assert state["x"][0] == 30


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "garbage"])
def test_damaged_newest_falls_back_and_says_so(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = save_three(tmp_path)
    newest = max(tmp_path.iterdir())
    content = bytearray(newest.read_bytes())
    if damage == "flip":
        content[-100] ^= 1
    newest.write_bytes(
        {
            "truncate": content[: len(content) // 2],
            "flip": content,
            "empty": b"",
            "garbage": b"\x80\x04garbage" * 99,
        }[damage]
    )
    found = checkpoints.load()
    assert found is not None
    assert found[0] == 20
    said = capsys.readouterr().out
    assert "skipped" in said
    assert newest.name in said


def test_damaged_one_takes_no_generation_s_place(tmp_path: Path) -> None:
    max(save_three(tmp_path).folder.iterdir()).write_bytes(b"")
    checkpoints = Checkpoints(tmp_path, "digest")
    assert (checkpoints.load() or (0, None))[0] == 20
    checkpoints.save(25, {"x": 25})
    assert sorted(int(path.stem[-9:]) for path in tmp_path.iterdir()) == [20, 25]
    checkpoints.save(30, {"x": 30})
    assert (Checkpoints(tmp_path, "digest").load() or (0, None)) == (30, {"x": 30})


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    checkpoints = save_three(tmp_path)
    (tmp_path / ".checkpoint_digest_000000040.safetensors.x1y2.part").write_bytes(b"half")
    assert (checkpoints.load() or (0, None))[0] == 30
    assert not list(tmp_path.glob(".*"))


def test_both_damaged_begins_anew(tmp_path: Path) -> None:
    checkpoints = save_three(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert checkpoints.load() is None


def test_another_digest_neither_reads_nor_keeps_it(tmp_path: Path) -> None:
    save_three(tmp_path)
    other = Checkpoints(tmp_path, "changed")
    assert other.load() is None
    other.save(5, {"x": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_changed_000000005.safetensors"]
    assert other.load() == (5, {"x": 1})


def test_weights_carry_their_parameters(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    params = {"study": "toy", "model": {"width": 3}, "note": 'a "quote", a \n break, π'}
    save_weights(tmp_path / "w.safetensors", model, params)
    tensors, found = load_weights(tmp_path / "w.safetensors")
    assert found == params
    assert set(tensors) == {"weight", "bias"}
    assert all(torch.equal(tensors[name], tensor) for name, tensor in model.state_dict().items())


def test_weights_say_whether_their_training_diverged(tmp_path: Path) -> None:
    model, path = nn.Linear(3, 2), tmp_path / "w.safetensors"
    save_weights(path, model, {})
    assert diverged(path) is None
    save_weights(path, model, {}, diverged="the loss is nan at step 5")
    assert diverged(path) == "the loss is nan at step 5"
    with torch.no_grad():
        model.bias[0] = torch.inf
    save_weights(path, model, {})
    assert diverged(path) == "weights are not finite"


def test_weights_of_other_making_are_refused_in_one_line(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(InputError, match="no such file"):
        load_weights(tmp_path / "none")
    (tmp_path / "pickle").write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_weights(tmp_path / "pickle")
    save_file({"x": torch.zeros(1)}, tmp_path / "plain")
    with pytest.raises(InputError, match="not the parameters"):
        load_weights(tmp_path / "plain")
