"""Checkpoints of other programs, read without running their code and kept in our form.

A file of ``torch.save`` may name any class. Its objects are read here as inert records of their contents, so
that weights and settings can be extracted without importing or calling anything of the class.
"""

import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from specseq.errors import InputError
from specseq.tables.files import atomic_path

WEIGHTS = "weights.safetensors"
_INTACT = "give an intact copy"
_CLEAN = (
    "write the weights alone where the file was made: "
    "torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'clean.pt')"
)


class Record:
    """The contents of an object in a checkpoint, whose class is not loaded."""

    class_name = ""

    def __new__(cls, *arguments: Any, **named: Any) -> "Record":
        """Record the arguments here, since unpickling may skip ``__init__``."""
        record = super().__new__(cls)
        record.arguments, record.fields = arguments, dict(named)
        return record

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, Mapping):
                self.fields.update(part)

    arguments: tuple[Any, ...]
    fields: dict[str, Any]


@dataclass(frozen=True)
class Imported:
    """A foreign checkpoint in our form.

    Attributes:
        tensors: weights under our names.
        params: parameters of a run that rebuild the model.
        notes: remarks on the conversion for the user.
    """

    tensors: dict[str, Tensor]
    params: dict[str, Any]
    notes: tuple[str, ...] = ()


def read_torch(path: Path) -> Any:
    """The contents of a file of ``torch.save``, with a :class:`Record` in place of every foreign object.

    Tensors are memory-mapped from the file, not copied.

    Raises:
        InputError: the file is missing, damaged or not of this format, or cannot be read without running
            foreign code; names the class.
    """
    if not path.is_file():
        raise InputError(path, "no such file", "give a checkpoint")
    if not zipfile.is_zipfile(path):
        fault = "was not written by torch.save, or before torch 1.6, or was cut short"
        raise InputError(path, fault, f"{_INTACT}, or save it again with a current torch")
    foreign: list[str] = []
    try:
        foreign = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
        with torch.serialization.safe_globals([(_stand_in(name), name) for name in foreign]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, LookupError, EOFError) as error:
        if foreign:
            fault = f"holds objects of {', '.join(foreign[:3])}, which cannot be read as data"
            raise InputError(path, fault, _CLEAN) from None
        # When torch refuses a pickle, its message ends with the advice to run it.
        known = isinstance(error, pickle.UnpicklingError)
        reason = "a pickle that is not a state dict" if known else str(error).splitlines()[0]
        raise InputError(path, f"cannot be read ({reason})", _INTACT) from None
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(path, f"cannot be read ({error})", _INTACT) from None


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, on the CPU, and its metadata.

    Raises:
        InputError: the file is missing or damaged.
    """
    if path.is_dir():
        raise InputError(path, "is a folder", "give a file of weights in it")
    try:
        with safe_open(path, framework="pt", device="cpu") as handle:
            return {name: handle.get_tensor(name) for name in handle.keys()}, handle.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(path, "no such file", "give a file of weights") from None
    except (SafetensorError, OSError) as error:
        fault = f"not a readable safetensors file ({error})"
        raise InputError(path, fault, f"{_INTACT}, or make it again") from None


def fields_of(value: Any) -> dict[str, Any]:
    """The named parts of a mapping or :class:`Record`; empty for anything else."""
    if isinstance(value, Record):
        return value.fields
    return dict(value) if isinstance(value, Mapping) else {}


def class_of(value: Any) -> str:
    """The last part of the class name of a :class:`Record`, or of the ``_target_`` of a mapping."""
    name = value.class_name if isinstance(value, Record) else fields_of(value).get("_target_", "")
    return str(name).rpartition(".")[2]


def tensors_of(content: Any, path: object, *sections: str) -> dict[str, Tensor]:
    """The state dict in a checkpoint's contents: under the first of ``sections`` that exists, or the whole.

    Prefixes that ``torch.compile`` or data parallelism add to parameter names are removed.

    Raises:
        InputError: there is none, or it holds anything but tensors.
    """
    given = fields_of(content)
    state = next((given[name] for name in sections if name in given), content)
    named = {str(name): value for name, value in fields_of(state).items()}
    for prefix in ("_orig_mod.", "module._orig_mod."):
        named = {name.removeprefix(prefix): value for name, value in named.items()}
    if not named or not any(isinstance(value, Tensor) for value in named.values()):
        known = ", ".join(sorted(map(str, given))[:6]) or "nothing"
        raise InputError(path, f"holds no state dict, but {known}", f"looked for {', '.join(sections)}")
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise InputError(path, f"{name} is not a tensor but {type(value).__name__}", "give a state dict")
    return named


def check_finite(tensors: Mapping[str, Tensor], path: object) -> None:
    """Refuse weights that are not finite.

    Raises:
        InputError: names the first of them.
    """
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(path, f"{name} holds values that are not finite", "give an earlier checkpoint")


def save_import(folder: Path, imported: Imported, source: str) -> Path:
    """Write an imported checkpoint as the weights of a run; returns the file.

    Args:
        source: where it came from, kept in the file.
    """
    path = folder / WEIGHTS
    tensors = {name: value.contiguous().clone() for name, value in imported.tensors.items()}
    facts = {"source": source, "notes": list(imported.notes)}
    metadata = {"params": json.dumps(imported.params), "imported": json.dumps(facts)}
    with atomic_path(path) as part:
        save_file(tensors, part, metadata=metadata)
    return path


def _stand_in(name: str) -> type:
    """A class that stands in for the foreign class called ``name``.

    A mapping becomes a plain one, since torch's reader sets items of no other.
    """
    if name.lower().endswith("dict"):
        return _Mapping
    return type("Record", (Record,), {"class_name": name})


class _Mapping:
    def __new__(cls, *arguments: Any) -> Any:
        return OrderedDict()
