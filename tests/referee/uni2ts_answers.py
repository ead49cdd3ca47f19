"""What uni2ts computes, run by the interpreter of ``.cache/referee``: ``uni2ts_answers.py IN OUT``.

IN holds packed fields under ``batch.`` and a state dict under ``weights.``; OUT receives location, scale, the
distribution's parameters at every slot, the loss and the gradient of every weight, in the dtype of the
weights. Upstream rounds location and scale to float32, also in float64; there it is kept from that.
"""

import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from uni2ts.distribution import (
    LogNormalOutput,
    MixtureOutput,
    NegativeBinomialOutput,
    NormalFixedScaleOutput,
    StudentTOutput,
)
from uni2ts.loss.packed import PackedNLLLoss
from uni2ts.model.moirai import MoiraiModule

FIELDS = (
    "target",
    "observed_mask",
    "sample_id",
    "time_id",
    "variate_id",
    "prediction_mask",
    "patch_size",
)


def build(d_model: int, layers: int, patch_sizes: tuple[int, ...], max_length: int) -> MoiraiModule:
    """Upstream's module with the published mixture."""
    components = [StudentTOutput(), NormalFixedScaleOutput(), NegativeBinomialOutput(), LogNormalOutput()]
    return MoiraiModule(MixtureOutput(components), d_model, layers, patch_sizes, max_length, 0.0, 0.0)


def distribution_parameters(distribution: torch.distributions.Distribution) -> dict[str, torch.Tensor]:
    """Parameters in their domains, under the names of our mixture."""
    mixture = distribution.base_dist
    student, normal, binomial, log_normal = mixture.components
    return {
        "log_weights_CQ": torch.stack(mixture.weights.logits.unbind(-1)),
        "student_df": student.df,
        "student_loc": student.loc,
        "student_scale": student.scale,
        "normal_loc": normal.loc,
        "count": binomial.total_count,
        "logits": binomial.logits,
        "log_normal_loc": log_normal.loc,
        "log_normal_scale": log_normal.scale,
    }


def main(source: Path, destination: Path) -> None:
    """Answer for one batch."""
    given = load_file(source)
    batch = {field: given[f"batch.{field}"] for field in FIELDS}
    weights = {k.removeprefix("weights."): v for k, v in given.items() if k.startswith("weights.")}
    layers = len({name.split(".")[2] for name in weights if name.startswith("encoder.layers.")})
    width = weights["mask_encoding.weight"].shape[1]
    module = build(width, layers, tuple(given["patch_sizes"].tolist()), batch["sample_id"].shape[1])
    dtype = weights["mask_encoding.weight"].dtype
    module.to(dtype).load_state_dict(weights)
    batch["target"] = batch["target"].to(dtype)
    if dtype == torch.float64:
        module.scaler.forward = module.scaler._get_loc_scale
    distribution = module(**batch)
    masks = ("target", "prediction_mask", "observed_mask", "sample_id", "variate_id")
    loss = PackedNLLLoss()(pred=distribution, **{field: batch[field] for field in masks})
    loss.backward()
    affine = distribution.transforms[0]
    answers = {
        "loss": loss,
        "location": affine.loc,
        "scale": affine.scale,
        **{f"parameter.{name}": value for name, value in distribution_parameters(distribution).items()},
        **{f"gradient.{name}": value.grad for name, value in module.named_parameters()},
    }
    save_file({name: value.detach().contiguous() for name, value in answers.items()}, destination)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
