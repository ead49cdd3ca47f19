"""Weights and training state as safetensors files, written atomically; reading them runs no code."""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from specseq.errors import InputError
from specseq.tables.files import atomic_path
from specseq.training.foreign import read_safetensors


def save_weights(
    path: str | os.PathLike[str], model: nn.Module, params: Mapping[str, Any], diverged: str | None = None
) -> None:
    """Write a model's weights and the parameters that rebuild it.

    Args:
        model: the model, on any device; the precision is kept.
        params: the run's parameters, stored as JSON in the metadata.
        diverged: why training ended early, also stored in the metadata; None if it did not.
    """
    # Parameters of a compiled model have a prefix.
    tensors = {
        name.replace("_orig_mod.", ""): tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in model.state_dict().items()
    }
    metadata = {"params": json.dumps(params)} | ({"diverged": diverged} if diverged else {})
    with atomic_path(path) as part:
        save_file(tensors, part, metadata=metadata)


def load_weights(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights on the CPU and the parameters that were saved with them.

    Raises:
        InputError: the file is missing, damaged or was not written by :func:`save_weights`.
    """
    tensors, metadata = read_safetensors(Path(path))
    if "params" not in metadata:
        fault = "holds weights but not the parameters of their run"
        raise InputError(path, fault, "give a file of 'pretrain'")
    try:
        return tensors, json.loads(metadata["params"])
    except ValueError as error:
        raise InputError(path, f"the parameters of its run are not JSON ({error})", "copy it again") from None


def diverged(path: str | os.PathLike[str]) -> str | None:
    """Why the training of these weights ended early; None if it did not.

    The loop keeps the last finite weights of a diverged run, so the weights alone do not show divergence. If
    the very last step diverged, no later loss reveals it, so weights that are not finite count as diverged.

    Raises:
        InputError: the file is missing or damaged.
    """
    tensors, metadata = read_safetensors(Path(path))
    if "diverged" in metadata:
        return metadata["diverged"]
    finite = all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    return None if finite else "weights are not finite"


def _checksum(tensors: Mapping[str, Tensor], state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        if tensors[name].numel():  # an empty tensor has no bytes and unviewable strides
            digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


_PATTERN = "checkpoint_*.safetensors"


class Checkpoints:
    """The two newest checkpoints of a run in a folder, with checksums and the digest of the run."""

    def __init__(self, folder: str | os.PathLike[str], digest: str) -> None:
        """
        Args:
            folder: folder of the checkpoints, created with the first one.
            digest: digest of everything that decides the run; checkpoints of another digest are never used.
        """
        self.folder, self.digest = Path(folder), digest
        self._damaged: set[Path] = set()

    def save(self, step: int, state: Any) -> Path:
        """Write the state after ``step`` steps and delete all but the two newest usable checkpoints.

        Raises:
            OSError: the disk is full or cannot be written; earlier checkpoints are kept.
        """
        text, tensors = pack(state)
        metadata = {"digest": self.digest, "step": str(step), "state": text}
        metadata["checksum"] = _checksum(tensors, text)
        path = self.folder / f"{self._prefix}{step:09d}.safetensors"
        with atomic_path(path) as part:
            try:
                save_file(tensors, part, metadata=metadata)
            except SafetensorError as error:
                raise OSError(f"{path}: {error}") from None
        self._damaged.discard(path)
        kept = {path, *[other for other in self._files() if other != path and other not in self._damaged][:1]}
        for other in self.folder.glob(_PATTERN):
            if other not in kept:
                other.unlink(missing_ok=True)
        return path

    def load(self) -> tuple[int, Any] | None:
        """The newest usable checkpoint as ``(step, state)``, or None; prints why others are skipped."""
        # Leftovers of a process killed while writing; a run has only one writer at a time.
        for part in self.folder.glob(f".{_PATTERN}.*.part"):
            part.unlink(missing_ok=True)
        for path in self._files():
            try:
                return self._load(path)
            except InputError as error:
                print(f"checkpoint skipped: {error}", flush=True)
                # A damaged one must not count as one of the two that are kept.
                self._damaged.add(path)
        if others := sorted(path.name for path in self.folder.glob(_PATTERN) if path not in self._files()):
            print(f"checkpoints of other parameters or code skipped: {', '.join(others)}", flush=True)
        return None

    def _load(self, path: Path) -> tuple[int, Any]:
        tensors, metadata = read_safetensors(path)
        if metadata.get("digest") != self.digest:
            raise InputError(path, "is of other parameters or code")
        if metadata.get("checksum") != _checksum(tensors, metadata.get("state", "")):
            raise InputError(path, "its content does not match its checksum")
        return int(metadata["step"]), unpack(metadata["state"], tensors)

    @property
    def _prefix(self) -> str:
        return f"checkpoint_{self.digest[:16]}_"

    def _files(self) -> list[Path]:
        """Checkpoints of this digest, newest first; half-written ones have a different name."""
        return sorted(self.folder.glob(f"{self._prefix}*.safetensors"), reverse=True)


def pack(state: Any) -> tuple[str, dict[str, Tensor]]:
    """Split nested state into JSON text and the tensors it refers to by name.

    Takes dictionaries with any plain keys, lists, tuples, numbers, strings, bytes, None, NumPy scalars and
    arrays, and tensors. Everything comes back from :func:`unpack` with its type, floats to the last bit.

    Raises:
        TypeError: the state holds anything else.
    """
    tensors: dict[str, Tensor] = {}
    return json.dumps(_encode(state, tensors)), tensors


def unpack(text: str, tensors: dict[str, Tensor]) -> Any:
    """The state that :func:`pack` split."""
    return _decode(json.loads(text), tensors)


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return _encode(value.item(), tensors)
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [_encode(part, tensors) for part in value]
    if isinstance(value, tuple):
        return {"tuple": [_encode(part, tensors) for part in value]}
    if isinstance(value, dict):
        pairs = [[_encode(key, tensors), _encode(part, tensors)] for key, part in value.items()]
        return {"dict": pairs}
    if isinstance(value, np.ndarray):
        return {"array": _keep(torch.from_numpy(np.ascontiguousarray(value)), tensors)}
    if isinstance(value, Tensor):
        return {"tensor": _keep(value, tensors)}
    raise TypeError(f"state holds a {type(value).__name__}, which a checkpoint cannot keep")


def _keep(tensor: Tensor, tensors: dict[str, Tensor]) -> str:
    name = f"state/{len(tensors)}"
    tensors[name] = tensor.detach().to("cpu", copy=True).contiguous()
    return name


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "bytes":
        return base64.b64decode(content)
    if kind == "tuple":
        return tuple(_decode(part, tensors) for part in content)
    if kind == "dict":
        return {_decode(key, tensors): _decode(part, tensors) for key, part in content}
    if kind == "array":
        return tensors[content].numpy()
    if kind == "tensor":
        return tensors[content]
    raise ValueError(f"state holds an unknown kind {kind!r}")
