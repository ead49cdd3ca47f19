"""A Chronos-2 of a few random weights, saved as the real ones are."""

from pathlib import Path
from typing import Any


def tiny_chronos2(folder: Path) -> Path:
    """Save the model; windows of 64 points, patches of 4, the published quantile levels."""
    import torch
    from chronos.chronos2 import Chronos2CoreConfig, Chronos2Model

    quantiles = [0.01, *(round(step / 20, 2) for step in range(1, 20)), 0.99]
    forecasting: dict[str, Any] = {
        **dict(context_length=64, output_patch_size=4, input_patch_size=4, input_patch_stride=4),
        **dict(quantiles=quantiles, use_reg_token=True, use_arcsinh=True, max_output_patches=4),
    }
    config = Chronos2CoreConfig(
        d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, dropout_rate=0.0, chronos_config=forecasting
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Chronos2Model(config)
    model.save_pretrained(folder)
    return folder
