"""The zeta study's checkpoints, against its three models written out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from specseq import cli
from specseq.errors import InputError
from specseq.spacings.imports import import_spacings
from specseq.spacings.model import rebuild
from specseq.studies.zeta.rollout import RolloutRequest, evaluate_run
from specseq.studies.zeta.training import build
from specseq.tables import read_parquet
from specseq.training.foreign import save_import
from specseq.training.loop import train

D, H, L, K, M, BLOCKS = 16, 2, 12, 3, 4, 2
E = D // H


@dataclass
class MemoryMDNConfig:
    """As the study's code pickles its settings: an object of a class that is not there when it is read."""

    n_layer: int = BLOCKS
    n_head: int = H
    n_embd: int = D
    seq_len: int = L
    n_components: int = K
    sigma_min: float = 1e-4
    sigma_max: float = 7.0
    dropout: float = 0.2


def state(kind: str) -> dict[str, Tensor]:
    """Random weights under the study's names."""
    torch.manual_seed(5)
    made = {"input_proj.weight": torch.randn(D, 1), "input_proj.bias": torch.randn(D)}
    if kind != "spacing":
        made["memory_bank.memory"] = 2 * torch.randn(M, D)
        made["memory_bank._dummy"] = torch.zeros(1)
    if kind == "flash":
        made["freqs_cis"] = rotations()
    else:
        made["pos_emb.weight"] = torch.randn(L + (M if kind == "memory" else 0), D)
    mlp = "mlp." if kind == "spacing" else ""
    for block in range(BLOCKS):
        shapes = {"attn.c_attn": (3 * D, D), "attn.c_proj": (D, D)}
        shapes |= {f"{mlp}c_fc": (4 * D, D), f"{mlp}c_proj": (D, 4 * D)}
        made |= {f"blocks.{block}.{name}.weight": torch.randn(*shape) / 4 for name, shape in shapes.items()}
        for name in ("ln_1", "ln_2"):
            made[f"blocks.{block}.{name}.weight"] = 1 + torch.randn(D) / 4
            made[f"blocks.{block}.{name}.bias"] = torch.randn(D) / 4
        if kind == "spacing":
            made[f"blocks.{block}.attn.mask"] = torch.ones(L, L).tril().view(1, 1, L, L)
    made |= {"ln_f.weight": torch.ones(D), "ln_f.bias": torch.zeros(D)}
    return made | {
        "mdn_head.proj.weight": torch.randn(3 * K, D) / 4,
        "mdn_head.proj.bias": torch.randn(3 * K),
    }


def rotations() -> Tensor:
    """Unit complex numbers by position and pair of dimensions."""
    rates = 10_000.0 ** (-torch.arange(0, E, 2) / E)
    return torch.polar(torch.ones(L, E // 2), torch.outer(torch.arange(L).float(), rates))


def published(weights: dict[str, Tensor], s: Tensor, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and scales of the mixture at every position."""
    x = s[..., None] @ weights["input_proj.weight"].T + weights["input_proj.bias"]
    slots = 0
    if kind != "spacing":
        memory, slots = weights["memory_bank.memory"], M
        memory = memory * (2.0 / memory.norm(dim=-1, keepdim=True)).clamp(max=1.0)
        x = torch.cat([memory.expand(len(s), -1, -1), x], 1)
    if kind != "flash":
        x = x + weights["pos_emb.weight"]
    mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
    mask[slots:, slots:] = mask[slots:, slots:].tril()
    mlp = "mlp." if kind == "spacing" else ""
    for block in range(BLOCKS):
        at = {name.removeprefix(f"blocks.{block}."): value for name, value in weights.items()}
        n = F.layer_norm(x, (D,), at["ln_1.weight"], at["ln_1.bias"])
        q, k, v = (n @ at["attn.c_attn.weight"].T).split(D, -1)
        q, k, v = (part.unflatten(-1, (H, E)) for part in (q, k, v))
        if kind == "flash":
            q, k = (torch.cat([part[:, :slots], turn(part[:, slots:])], 1) for part in (q, k))
        y = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (q, k, v)), attn_mask=mask)
        x = x + y.transpose(1, 2).flatten(2) @ at["attn.c_proj.weight"].T
        n = F.layer_norm(x, (D,), at["ln_2.weight"], at["ln_2.bias"])
        x = x + F.gelu(n @ at[f"{mlp}c_fc.weight"].T) @ at[f"{mlp}c_proj.weight"].T
    n = F.layer_norm(x[:, slots:], (D,), weights["ln_f.weight"], weights["ln_f.bias"])
    logits, mean, raw = (n @ weights["mdn_head.proj.weight"].T + weights["mdn_head.proj.bias"]).chunk(3, -1)
    return logits.softmax(-1), mean, raw.sigmoid() * (7.0 - 1e-4) + 1e-4


def turn(x: Tensor) -> Tensor:
    """Neighbouring dimensions turned as complex numbers."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * rotations()[None, :, None]).flatten(-2)


@pytest.mark.parametrize("kind", ["spacing", "memory", "flash"])
def test_mixtures_are_the_studys(kind: str, tmp_path: Path) -> None:
    weights = state(kind)
    content = {"model": weights, "config": MemoryMDNConfig(), "step": 9, "val_nll": -0.1}
    torch.save(content, tmp_path / "best.pt")
    imported = import_spacings(tmp_path / "best.pt")
    config = imported.params["model"]
    assert (config["residuals"], config["dropout"]) == (kind == "flash", 0.2)
    assert config["attention_mask"] == ("causal" if kind == "spacing" else "published")
    s = torch.rand(3, L, generator=torch.Generator().manual_seed(0)) + 0.5
    with torch.no_grad():
        mixture = rebuild(imported.params, imported.tensors)(s)
    # A model of residuals takes s - 1 and gives the mean of that.
    shift = 1.0 if kind == "flash" else 0.0
    share, mean, scale = published(weights, s - shift, kind)
    torch.testing.assert_close(mixture.log_weight.exp(), share, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mixture.mean, mean + shift, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mixture.scale, scale, atol=1e-5, rtol=1e-5)


def refused(path: Path, content: Any) -> str:
    torch.save(content, path)
    with pytest.raises(InputError) as caught:
        import_spacings(path)
    assert "delete" not in str(caught.value)
    return str(caught.value)


def test_models_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    path, whole = tmp_path / "best.pt", state("flash")
    config = MemoryMDNConfig()
    without = {name: value for name, value in whole.items() if name != "blocks.1.ln_2.bias"}
    assert "blocks.1.ln_2.bias is missing" in refused(path, {"model": without, "config": config})
    extra = {**whole, "id_head.weight": torch.ones(2)}
    assert "holds id_head.weight, which the model lacks" in refused(path, {"model": extra, "config": config})
    config.n_layer = 6
    assert "its config says n_layer 6, its weights 2" in refused(path, {"model": whole, "config": config})
    config.n_layer, config.n_head = 2, 3
    assert "heads" in refused(path, {"model": whole, "config": config})
    renamed = {name.replace("mdn_head.proj", "mdn_head.head"): value for name, value in whole.items()}
    assert "softplus" in refused(path, {"model": renamed})
    bad = {**whole, "blocks.0.c_fc.weight": torch.ones(D, D)}
    assert "blocks.0.c_fc.weight is [16, 16], its config says [64, 16]" in refused(path, {"model": bad})


@pytest.mark.parametrize("setting", [{"dropout": "a"}, {"sigma_min": []}, {"memory_cap": {}}])
def test_settings_of_another_kind_are_one_line(
    setting: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"model": state("flash"), "config": setting}, tmp_path / "best.pt")
    assert cli.main(["import", "spacings", str(tmp_path / "best.pt"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "best.pt: is not built as expected" in said
    assert said.count("\n") == 1
    with pytest.raises(InputError, match="is not built as expected"):  # for a run that begins from it
        import_spacings(tmp_path / "best.pt")


def test_what_the_file_does_not_say_is_said(tmp_path: Path) -> None:
    torch.save({"model": state("flash")}, tmp_path / "best.pt")
    assert any("heads, and bounds" in note for note in import_spacings(tmp_path / "best.pt").notes)
    torch.save({"model": state("flash"), "config": {"n_head": H}}, tmp_path / "best.pt")
    notes = import_spacings(tmp_path / "best.pt").notes
    assert any("residuals s - 1" in note for note in notes)
    assert any("see the future" in note for note in notes)
    assert not import_spacings(tmp_path / "best.pt", "spacings").params["model"]["residuals"]


def test_training_goes_on_from_a_checkpoint(manifest: Path, tmp_path: Path) -> None:
    torch.save({"model": state("flash"), "config": MemoryMDNConfig()}, tmp_path / "best.pt")
    imported = import_spacings(tmp_path / "best.pt")
    params = {
        "study": "zeta",
        "seed": 0,
        "model": imported.params["model"],
        "training": {"steps": 1, "batch": 4, "tensorboard": False},
        "initial": {"checkpoint": str(tmp_path / "best.pt")},
    }
    for source in (tmp_path / "best.pt", save_import(tmp_path / "ours", imported, "best.pt")):
        begun = build(params, {"spacings": manifest, "initial": source})
        for name, value in begun.model.state_dict().items():
            assert torch.equal(value, imported.tensors[name]), name
    assert train(begun, params, tmp_path / "run", "digest").step == 1
    other = {**params, "model": {**imported.params["model"], "components": 5}}
    with pytest.raises(InputError, match=r"model\.components: is 5, the weights of .* have 3"):
        build(other, {"spacings": manifest})


def test_an_imported_model_is_rolled_out(manifest: Path, tmp_path: Path) -> None:
    torch.save({"model": state("spacing"), "config": MemoryMDNConfig()}, tmp_path / "best.pt")
    weights = save_import(tmp_path, import_spacings(tmp_path / "best.pt"), "best.pt")
    sizes = {"windows": 20, "contexts": [4, 8], "rollout_contexts": [4], "horizons": [1, 4], "draws": 5}
    evaluate_run(
        RolloutRequest(
            weights=weights,
            spacings=manifest,
            run="zeta/imported/a",
            params={"evaluation": sizes},
            out=tmp_path / "rollout.parquet",
        )
    )
    rows = read_parquet(tmp_path / "rollout.parquet")
    assert {"nll", "mae"} <= set(rows["metric"])
