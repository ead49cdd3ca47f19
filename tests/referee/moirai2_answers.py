"""What uni2ts' Moirai2 computes, run by the interpreter of ``.cache/referee``: ``moirai2_answers.py IN OUT``.

IN holds packed fields under ``batch.``, a state dict under ``weights.`` and contexts ``[N, T]``; OUT receives
predictions and scaled values of every token, and forecasts of the contexts at two horizons.
"""

import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from uni2ts.model.moirai2 import Moirai2Forecast
from uni2ts.model.moirai2.module import Moirai2Module

FIELDS = ("target", "observed_mask", "sample_id", "time_id", "variate_id", "prediction_mask")


def main(source: Path, destination: Path) -> None:
    """Answer for one batch and one set of contexts."""
    given = load_file(source)
    weights = {
        name.removeprefix("weights."): value for name, value in given.items() if name.startswith("weights.")
    }
    layers = len({name.split(".")[2] for name in weights if name.startswith("encoder.layers.")})
    width, feed_forward = (weights["encoder.layers.0.ffn.fc1.weight"].shape[dim] for dim in (1, 0))
    module = Moirai2Module(
        width, feed_forward, layers, 16, 512, attn_dropout_p=0.0, dropout_p=0.0, num_predict_token=4
    )
    module.load_state_dict(weights)
    with torch.no_grad():
        predicted, scaled = module(*(given[f"batch.{field}"] for field in FIELDS))
        answers = {"predicted": predicted, "scaled": scaled}
        for horizon in (16, 60):
            forecaster = Moirai2Forecast(horizon, 1, 0, 0, given["contexts"].shape[1], module=module)
            forecasts = forecaster.predict([context[:, None].numpy() for context in given["contexts"]])
            answers[f"forecast_{horizon}"] = torch.from_numpy(forecasts)
    save_file({name: value.contiguous() for name, value in answers.items()}, destination)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
