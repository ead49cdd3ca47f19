"""Which source files decide a result: those that make it, and all files of the package they import."""

import functools
import hashlib
import re
import sys
from pathlib import Path

_PACKAGE = Path(__file__).parent
_IMPORT = re.compile(
    r"^[ \t]*(?:from +(specseq[\w.]*) +import +(\([^)]*\)|[^\n#]*)|import +(specseq[\w.]*))", re.MULTILINE
)
# These report, store and launch. No number depends on them, so editing one must not rerun everything.
_BYSTANDERS = {
    "__init__.py",
    "errors.py",
    "launch",
    "progress.py",
    "sources.py",
    "stages/request.py",
    "studies/__init__.py",
    "studies/interface.py",
    "sweeps",
    "tables",
    "yaml_files.py",
}


@functools.cache
def source_digest(*names: str | Path) -> str:
    """A digest of source files and of all that they import from this package, directly or indirectly.

    Args:
        names: files or folders in the package, such as ``stages/design.py``, or paths of a study outside it.
            Modules that are imported by a name known only at run time must be named, too. Files are read once
            per process.
    """
    digest = hashlib.sha256()
    for file in sources(*names):
        digest.update(f"{file.relative_to(_root(file)).as_posix()}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def sources(*names: str | Path) -> list[Path]:
    """The files that ``source_digest`` reads."""
    waiting = [file for name in names for file in _files(_PACKAGE / name)]
    found: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += imported(file)
    return sorted(found)


@functools.cache
def imported(file: Path) -> tuple[Path, ...]:
    """The files of this package that a file imports, without those that decide no result.

    Data files beside it that it names are included.
    """
    if file.suffix != ".py":
        return ()
    text = file.read_text(encoding="utf-8")
    modules = {
        name
        for package, members, module in _IMPORT.findall(text)
        for name in ([module] if module else _with_members(package, members))
    }
    paths = {
        path for module in modules for root in {_PACKAGE, _root(file)} for path in _files_of(module, root)
    }
    paths |= {path for path in _data_files(file.parent) if path.name in text}
    return tuple(sorted(path for path in paths if not _is_bystander(path)))


@functools.cache
def _data_files(folder: Path) -> tuple[Path, ...]:
    return tuple(path for path in folder.iterdir() if path.is_file() and path.suffix not in (".py", ".pyc"))


def _with_members(package: str, members: str) -> list[str]:
    words = re.findall(r"(\w+)(?: +as +\w+)?", members)
    return [package, *(f"{package}.{word}" for word in words)]


def _root(file: Path) -> Path:
    """The folder ``specseq`` that a file is in, which for a user's own study is not the package's."""
    return next((folder for folder in file.parents if folder.name == "specseq"), file.parent)


@functools.cache
def _files_of(module: str, root: Path) -> tuple[Path, ...]:
    """A module's file and the ``__init__`` of every package it is in, which runs when it is imported."""
    package = module.rpartition(".")[0]
    place = root.joinpath(*module.split(".")[1:])
    own = [path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()]
    return (*_files_of(package, root), *own) if package else tuple(own)


def _is_bystander(path: Path) -> bool:
    name = path.relative_to(_root(path))
    return name.as_posix() in _BYSTANDERS or name.parts[0] in _BYSTANDERS


def _files(path: Path) -> list[Path]:
    """All files of a folder, including data files; for a file, the file itself.

    Raises:
        FileNotFoundError: there is neither.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(path)
    return [file for file in path.rglob("*") if file.is_file() and file.suffix != ".pyc"]


def module_file(module: str) -> Path:
    """The file of a module, found without importing it.

    Raises:
        FileNotFoundError: there is no such module.
    """
    path = Path(*module.split(".")).with_suffix(".py")
    for folder in (_PACKAGE.parent, *map(Path, sys.path)):
        if (folder / path).is_file():
            return (folder / path).absolute()
    raise FileNotFoundError(path)
