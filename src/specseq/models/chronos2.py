"""Chronos-2 (Ansari et al. 2025, arXiv:2510.15821) through the package ``chronos-forecasting``.

Each context is forecast as a univariate series, without covariates and without cross learning between the
windows of a batch, whose targets overlap other windows' histories. Published Chronos-2 results share
information between variates, so they are a little lower on multivariate data.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from specseq.errors import InputError
from specseq.models.protocol import Query

HUB_ID = "amazon/chronos-2"
FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
"""Names of weight files."""


class Chronos2:
    """A Chronos-2 model as a forecaster.

    Args:
        pipeline: a ``chronos.Chronos2Pipeline``.
        context_length: history given to the model; by default the model's maximum.
    """

    def __init__(
        self, pipeline: Any, name: str = "chronos2", context_length: int | None = None, batch_size: int = 256
    ) -> None:
        longest = int(pipeline.model_context_length)
        if context_length is not None and not 1 <= context_length <= longest:
            raise InputError("context_length", f"{context_length} is not within 1 and the model's {longest}")
        self.name = name
        self.context_length: int | None = context_length or longest
        self._pipeline, self._batch_size = pipeline, batch_size

    @classmethod
    def load(
        cls,
        source: str | Path = HUB_ID,
        context_length: int | None = None,
        batch_size: int = 256,
        device: str | None = None,
    ) -> "Chronos2":
        """Load weights from a local folder or by hub id.

        Args:
            source: a folder of ``save_pretrained``, or a hub id.
            device: device to compute on; by default an accelerator if there is one.

        Raises:
            InputError: there are no such weights, or they are not those of a Chronos-2.
        """
        folder = find_weights(source)
        _check_architecture(folder)
        import torch
        from chronos import Chronos2Pipeline

        place = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            pipeline = Chronos2Pipeline.from_pretrained(str(folder), device_map=place, use_safetensors=True)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
            fault = f"not a readable Chronos-2 model ({error})"
            raise InputError(folder, fault, "download it again") from None
        return cls(pipeline, Path(source).name or "chronos2", context_length, batch_size)

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        """Quantiles ``[B, Q, H]``; sorted along Q, since the model may cross them."""
        # Copies, since a context may be a view of a mapped file, which tensors cannot wrap.
        answers, _ = self._pipeline.predict_quantiles(
            [np.array(context, dtype=np.float32)[None] for context in contexts],
            prediction_length=query.horizon,
            quantile_levels=list(query.quantile_levels),
            batch_size=self._batch_size,
            context_length=self.context_length,
        )
        quantiles = np.stack([answer[0].T.float().cpu().numpy() for answer in answers])
        return np.sort(quantiles, axis=1)


def _check_architecture(folder: Path) -> None:
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text("utf-8")).get("architectures")
    except OSError as error:
        raise InputError(path, f"cannot be read ({error})", "download the model again") from None
    except (ValueError, AttributeError) as error:
        raise InputError(path, f"not JSON ({error})", "download the model again") from None
    if found != ["Chronos2Model"]:
        raise InputError(path, f"architectures {found}", "give the weights of Chronos-2")


def is_hub_id(source: str | Path) -> bool:
    """Whether this is a model on the hub: of the form ``owner/name``, and not an existing path."""
    name, path = str(source), Path(source)
    written = name.count("/") == 1 and not name.startswith((".", "/", "~"))
    return written and path.suffix not in FILES and not path.exists()


def find_weights(source: str | Path) -> Path:
    """The folder of a model: the source itself, or the hub's copy in the local cache, downloaded if needed.

    Raises:
        InputError: there is no such folder, and the hub cannot be reached or does not know the id.
    """
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(folder, "no config.json in this folder", "give a folder of save_pretrained")
        return folder
    name = str(source)
    if not is_hub_id(name):
        raise InputError(folder, "no such folder", f"give a model folder or a hub id such as {HUB_ID}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors"]
    # Try the cache first, which needs no network but may hold an incomplete download.
    for cached in (True, False):
        try:
            folder = Path(snapshot_download(name, allow_patterns=wanted, local_files_only=cached))
        except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError, ValueError):
            continue
        if _is_whole(folder):
            return folder
    raise InputError(
        name,
        "neither a folder nor complete in the local cache, and the download from the hub failed",
        f"on a machine with network: hf download {name} --local-dir DIR; then give DIR",
    )


def _is_whole(folder: Path) -> bool:
    """Whether the configuration and all weight files exist."""
    index = folder / "model.safetensors.index.json"
    try:
        weights = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except FileNotFoundError:
        weights = {"model.safetensors"}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
    return all((folder / name).is_file() for name in {"config.json", *weights})
