"""Weights and training state as safetensors: written by rename, read without running anything from them."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from specseq.errors import InputError
from specseq.tables.files import atomic_path
from specseq.training.state import pack, unpack


def save_weights(
    path: str | os.PathLike[str], model: nn.Module, params: Mapping[str, Any], diverged: str | None = None
) -> None:
    """Write a model's weights and the parameters from which it can be built again.

    Args:
        path: the safetensors file to write, whole or not at all.
        model: its state dictionary is written, from whatever device, in its own precision.
        params: the run's parameters, kept as JSON in the file's metadata.
        diverged: why training was ended early, kept there too; None where it was not.
    """
    tensors = {
        name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in _state(model).items()
    }
    metadata = {"params": json.dumps(params)} | ({"diverged": diverged} if diverged else {})
    with atomic_path(path) as part:
        save_file(tensors, part, metadata=metadata)


def load_weights(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read weights on the CPU and the parameters that were saved with them.

    Raises:
        InputError: the file is missing, damaged or not one of :func:`save_weights`.
    """
    tensors, metadata = _read(Path(path))
    if "params" not in metadata:
        raise InputError(
            path, "holds weights but not the parameters of their run", "give a file of 'pretrain'"
        )
    return tensors, json.loads(metadata["params"])


def diverged(path: str | os.PathLike[str]) -> str | None:
    """Why the training that left these weights was ended early; None where it was not.

    The loop keeps the last finite weights of such a run, so they do not show it. Where the last step of all
    spoiled them, no loss came after it to say so: weights that are not finite count too.

    Raises:
        InputError: the file is missing or damaged.
    """
    tensors, metadata = _read(Path(path))
    if "diverged" in metadata:
        return metadata["diverged"]
    finite = all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    return None if finite else "weights are not finite"


def _state(model: nn.Module) -> dict[str, Tensor]:
    """The state dictionary under the names the model has before compilation."""
    return {name.replace("_orig_mod.", ""): tensor for name, tensor in model.state_dict().items()}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if path.is_dir():
        raise InputError(path, "is a folder", "give a file of weights in it")
    try:
        with safe_open(path, framework="pt", device="cpu") as handle:
            return {name: handle.get_tensor(name) for name in handle.keys()}, handle.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(path, "no such file") from None
    except (SafetensorError, OSError) as error:
        raise InputError(
            path, f"not a readable safetensors file ({error})", "delete it and remake it"
        ) from None


def _checksum(tensors: Mapping[str, Tensor], state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        if tensors[name].numel():  # an empty tensor has no bytes, and strides that cannot be viewed as such
            digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


_PATTERN = "checkpoint_*.safetensors"


class Checkpoints:
    """The two newest checkpoints of a run in a folder, each whole, checksummed and tied to its parameters."""

    def __init__(self, folder: str | os.PathLike[str], digest: str) -> None:
        """
        Args:
            folder: where they lie; made when the first is written.
            digest: digest of everything that decides the run; checkpoints of another digest are never used.
        """
        self.folder, self.digest = Path(folder), digest
        self._damaged: set[Path] = set()

    def save(self, step: int, state: Any) -> Path:
        """Write the state after ``step`` steps and drop all but the two newest generations that can be used.

        Raises:
            OSError: the disk is full or cannot be written; the earlier generations still stand.
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
        """The newest usable checkpoint as ``(step, state)``, or None; says why others are passed over."""
        # A process that was killed while it wrote left a part behind; a run has one writer at a time.
        for part in self.folder.glob(f".{_PATTERN}.*.part"):
            part.unlink(missing_ok=True)
        for path in self._files():
            try:
                return self._load(path)
            except InputError as error:
                print(f"checkpoint passed over: {error}", flush=True)
                # It is no generation to fall back to, and must not take the place of one.
                self._damaged.add(path)
        if others := sorted(path.name for path in self.folder.glob(_PATTERN) if path not in self._files()):
            print(f"checkpoints passed over: of other parameters or code: {', '.join(others)}", flush=True)
        return None

    def _load(self, path: Path) -> tuple[int, Any]:
        tensors, metadata = _read(path)
        if metadata.get("digest") != self.digest:
            raise InputError(path, "of other parameters or code")
        if metadata.get("checksum") != _checksum(tensors, metadata.get("state", "")):
            raise InputError(path, "its content does not match its checksum")
        return int(metadata["step"]), unpack(metadata["state"], tensors)

    @property
    def _prefix(self) -> str:
        return f"checkpoint_{self.digest[:16]}_"

    def _files(self) -> list[Path]:
        """Those of this run's parameters, newest first by step; a half-written one has another name."""
        return sorted(self.folder.glob(f"{self._prefix}*.safetensors"), reverse=True)
