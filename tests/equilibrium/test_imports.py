"""Blocks in the layout of the study's code, against its force written out."""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from specseq.equilibrium.checkpoint import load_block
from specseq.equilibrium.diagonal_blocks import diagonal_blocks
from specseq.equilibrium.imports import import_block
from specseq.equilibrium.text.config import Grammar, TextSettings
from specseq.equilibrium.text.store import Corpus, prepare_text
from specseq.errors import InputError
from specseq.studies.equilibrium.training import build
from specseq.training.foreign import save_import
from specseq.training.loop import train

C, H, T, V = 16, 2, 6, 11


def state(affine: bool, linear: bool) -> dict[str, Tensor]:
    """A random block: bare matrices, or linear layers; norms with gains and offsets, or without."""
    torch.manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape) / math.sqrt(shape[0])

    made = {name: draw(C, C) for name in ("WQ", "WK", "WV", "WO")}
    made |= {"fc": draw(C, 4 * C), "pj": draw(4 * C, C), "head": draw(C, V)}
    if linear:
        made = {f"{name}.weight": value.T.contiguous() for name, value in made.items()}
    made |= {"tok.weight": torch.randn(V, C), "pos.weight": torch.randn(T, C)}
    if affine:
        for name in ("ln1", "ln2"):
            made |= {f"{name}.weight": 1 + 0.3 * torch.randn(C), f"{name}.bias": 0.3 * torch.randn(C)}
        made |= {"fc.bias": 0.2 * torch.randn(4 * C), "pj.bias": 0.2 * torch.randn(C)}
    return made


def force(weights: dict[str, Tensor], z: Tensor, tokens: Tensor) -> Tensor:
    """-(z - x) + Attn(LN1 z) + FFN(LN2 z) - z, as the note prints it."""

    def apply(name: str, x: Tensor) -> Tensor:
        product = x @ weights[name] if name in weights else x @ weights[f"{name}.weight"].T
        return product + weights.get(f"{name}.bias", torch.zeros(()))

    def norm(name: str) -> Tensor:
        return F.layer_norm(z, (C,), weights.get(f"{name}.weight"), weights.get(f"{name}.bias"))

    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (H, C // H)).transpose(1, 2)

    n1, n2 = norm("ln1"), norm("ln2")
    q, k, v = (split(apply(name, n1)) for name in ("WQ", "WK", "WV"))
    q, k = (part * torch.rsqrt(part.square().mean(-1, keepdim=True) + 1e-6) for part in (q, k))
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    fed = apply("pj", F.gelu(apply("fc", n2), approximate="tanh"))
    x = weights["tok.weight"][tokens] + weights["pos.weight"]
    return -(z - x) + apply("WO", mixed) + fed - z


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(0, V, (3, T), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_the_force_is_the_studys(affine: bool, linear: bool, tokens: Tensor, tmp_path: Path) -> None:
    weights = state(affine, linear)
    args = argparse.Namespace(C=C, H=H, T=T, eps=0.05, attn_mode="thick", c=1.0)
    torch.save({"state_dict": weights, "args": args, "step": 3200, "Wm": None}, tmp_path / "s.pt")
    imported = import_block(tmp_path / "s.pt")
    block, run = load_block(save_import(tmp_path, imported, "s.pt").parent)
    assert (run.solver.step, run.training.steps, block.shape.offsets) == (0.05, 3200, affine)
    z = torch.randn(3, T, C, generator=torch.Generator().manual_seed(2))
    ours = block.force(z, block.embed(tokens))
    torch.testing.assert_close(ours, force(weights, z, tokens), atol=1e-5, rtol=1e-5)
    logits = z @ (weights["head"] if not linear else weights["head.weight"].T)
    torch.testing.assert_close(block.logits(z), logits)


def test_the_audits_blocks_hold_with_offsets(tokens: Tensor, tmp_path: Path) -> None:
    torch.save(state(True, True), tmp_path / "s.pt")
    imported = import_block(tmp_path / "s.pt", heads=H)
    block = load_block(save_import(tmp_path, imported, "s.pt"))[0].double()
    x, z = block.embed(tokens), torch.randn(3, T, C, dtype=torch.float64)
    jacobian = torch.func.jacrev(lambda s: block.force(s, x))(z)
    for sample in range(3):
        for t in range(T):
            torch.testing.assert_close(
                diagonal_blocks(block, z)[sample, t], jacobian[sample, t, :, sample, t], atol=1e-10, rtol=1e-8
            )
    torch.testing.assert_close(block.local_force(z, z, x), block.force(z, x))


def refused(path: Path, content: Any, **given: Any) -> str:
    torch.save(content, path)
    with pytest.raises(InputError) as caught:
        import_block(path, **given)
    assert "delete" not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_blocks_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    path, whole = tmp_path / "s.pt", state(False, False)
    assert "how many attention heads" in refused(path, whole)
    without = {name: value for name, value in whole.items() if name != "WK"}
    assert "has no key (WK, WK.weight)" in refused(path, without, heads=H)
    assert "holds lnf.weight, which the block lacks" in refused(
        path, {**whole, "lnf.weight": torch.ones(C)}, heads=H
    )
    assert "its value is [16, 8]" in refused(path, {**whole, "WV": torch.ones(C, 8)}, heads=H)
    assert "holds values that are not finite" in refused(
        path, {**whole, "WV": torch.full((C, C), math.nan)}, heads=H
    )
    assert "its settings say T 9, its weights 6" in refused(path, {"model": whole, "args": {"T": 9, "H": H}})
    assert "attention mode is hop" in refused(path, {"model": whole, "attn_mode": "hop", "H": H})
    assert "3 does not divide the width 16" in refused(path, whole, heads=3)


def test_the_command_names_parts_and_the_audit_takes_the_folder(tmp_path: Path) -> None:
    weights = state(True, True)
    weights["inputs"] = weights.pop("tok.weight")
    torch.save(weights, tmp_path / "s.pt")
    command = [sys.executable, "-m", "specseq.cli"]
    given = ["--heads", str(H), "--name", "token=inputs", "--out", str(tmp_path / "block")]
    done = subprocess.run(
        [*command, "import", "equilibrium", str(tmp_path / "s.pt"), *given], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "folded" in done.stdout
    audit = subprocess.run(
        [*command, "audit", str(tmp_path / "block"), "--samples", "2", "--json"],
        capture_output=True,
        text=True,
    )
    assert audit.returncode == 0, audit.stderr
    assert len(json.loads(audit.stdout)["samples"]) == 2


def test_training_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    settings = TextSettings(source=Grammar(characters=2000, states=3, symbols=V - 1))
    prepare_text(tmp_path / "text", settings)
    vocabulary = Corpus.open(tmp_path / "text").vocabulary
    weights = state(True, False)
    weights["tok.weight"], weights["head"] = torch.randn(vocabulary, C), torch.randn(C, vocabulary)
    torch.save({"model": weights, "args": {"H": H, "eps": 0.05}}, tmp_path / "s.pt")
    imported = import_block(tmp_path / "s.pt")
    params = {
        "study": "equilibrium",
        "seed": 0,
        "model": imported.params["model"],
        "training": {"steps": 1, "batch": 2, "precision": "float32", "tensorboard": False},
        "evaluation": {"windows": 1, "aligned": 1, "samples": 1, "budget": 20, "unrolled": 5},
        "initial": {"checkpoint": str(tmp_path / "s.pt")},
    }
    begun = build(params, {"text": tmp_path / "text"})
    for name, value in begun.model.state_dict().items():
        assert torch.equal(value, imported.tensors[name]), name
    assert train(begun, params, tmp_path / "run", "digest").step == 1
    for name in ("query_offset", "expand_offset"):
        assert not torch.equal(begun.model.state_dict()[name], imported.tensors[name])
    other = {**params, "model": {**imported.params["model"], "offsets": False}}
    with pytest.raises(InputError, match=r"model\.offsets: is False, the weights of .* have True"):
        build(other, {"text": tmp_path / "text"})
