"""Random models that uni2ts saves, run by the interpreter of ``.cache/referee``: ``uni2ts_saves.py FOLDER``.

FOLDER holds ``batch.safetensors``, packed fields of MOIRAI's and Moirai2's batches under ``moirai.`` and
``moirai2.``. It receives ``moirai/`` and ``moirai2/`` of ``save_pretrained``, ``moirai.ckpt`` of Lightning,
and ``answers.safetensors``: what the models compute of the batches.
"""

import sys
import warnings
from pathlib import Path

import lightning
import torch
from safetensors.torch import load_file, save_file
from uni2ts.distribution import (
    LogNormalOutput,
    MixtureOutput,
    NegativeBinomialOutput,
    NormalFixedScaleOutput,
    StudentTOutput,
)
from uni2ts.model.moirai import MoiraiModule, MoiraiPretrain
from uni2ts.model.moirai2.module import Moirai2Module
from uni2ts_answers import FIELDS, distribution_parameters

KWARGS = {"num_layers": 2, "max_seq_len": 64, "attn_dropout_p": 0.0, "dropout_p": 0.0}


def main(folder: Path) -> None:
    """Save and answer."""
    given = load_file(folder / "batch.safetensors")
    torch.manual_seed(0)
    mixture = MixtureOutput(
        [StudentTOutput(), NormalFixedScaleOutput(), NegativeBinomialOutput(), LogNormalOutput()]
    )
    kwargs = {"distr_output": mixture, "d_model": 128, "patch_sizes": (8, 16, 32, 64, 128), **KWARGS}
    module = MoiraiModule(**kwargs)
    module.save_pretrained(folder / "moirai")
    training = MoiraiPretrain(2, 0.15, 0.5, 128, 10, 1, module_kwargs=kwargs)
    training.module.load_state_dict(module.state_dict())
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(training)
    trainer.save_checkpoint(folder / "moirai.ckpt")
    second = Moirai2Module(
        d_model=128, d_ff=344, patch_size=16, num_predict_token=4, quantile_levels=(0.1, 0.5, 0.9), **KWARGS
    )
    second.save_pretrained(folder / "moirai2")
    with torch.no_grad():
        answer = module(**{field: given[f"moirai.{field}"] for field in FIELDS})
        fields = [field for field in FIELDS if field != "patch_size"]
        predicted, _ = second(*(given[f"moirai2.{field}"] for field in fields))
    answers = {"predicted": predicted, "loc": answer.transforms[0].loc, **distribution_parameters(answer)}
    save_file({name: value.contiguous() for name, value in answers.items()}, folder / "answers.safetensors")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
