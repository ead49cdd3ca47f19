"""Files from outside that the config names: where they lie, and whether they have changed."""

import hashlib
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from specseq.errors import InputError
from specseq.settings import near

_FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def tidy_path(path: str) -> str:
    """A path in one spelling: no detours, no trailing slash, relative where it lies below this folder."""
    tidy = os.path.normpath(path)
    below = os.path.relpath(tidy)
    return below if os.path.isabs(tidy) and not below.startswith(os.pardir) else tidy


def check_there(path: str, field: str, folder: bool = True, words: Sequence[str] = ()) -> None:
    """Refuse a path that does not exist.

    Raises:
        InputError: it does not exist; names paths beside it, or ``words`` in its place, of similar spelling.
    """
    given = Path(path)
    if given.is_dir() if folder else given.exists():
        return
    if given.exists():
        raise InputError(field, f"'{path}' is not a folder", "give the folder")
    fault = f"there is no {'folder' if folder else 'file or folder'} '{path}'"
    if path.startswith("~"):
        raise InputError(field, fault, f"give the whole path, {given.expanduser()}")
    if not given.parent.is_dir():
        raise InputError(field, f"{fault}, nor '{given.parent}'", "give a path that exists")
    close = near(path, [*words, *map(str, given.parent.iterdir())])
    raise InputError(field, fault, close if close.startswith("did you mean") else "give a path that exists")


def checkpoint_file(source: str) -> str | None:
    """The file of weights in a checkpoint from outside; None for the hub id of one.

    Raises:
        InputError: there is no such file, or a folder without weights.
    """
    path = Path(source)
    if path.is_dir():
        files = [path / name for name in ("weights.safetensors", "model.safetensors")]
        held = next((file for file in files if file.is_file()), None)
        if held is None:
            raise InputError("initial.checkpoint", f"'{source}' holds no weights", "see specseq import")
        return tidy_path(str(held))
    owner, _, name = source.partition("/")
    hub = owner not in ("", ".", "..", "~") and bool(name) and "/" not in name
    if hub and path.suffix not in _FILES and not path.exists() and not Path(owner).exists():
        return None
    check_there(source, "initial.checkpoint", folder=False)
    return tidy_path(source)


@cache
def state(path: str) -> str:
    """A digest of name, size and time of change of a file, or of all files of a folder, at the first call."""
    root = Path(path)
    files = sorted(part for part in root.rglob("*") if part.is_file()) if root.is_dir() else [root]
    digest = hashlib.sha256()
    for file in files:
        facts = file.stat()
        digest.update(f"{file.relative_to(root)}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
