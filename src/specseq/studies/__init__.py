"""The studies, each a folder: ``specseq/studies/<name>/study.py`` declares the study as ``STUDY``.

A study of your own needs no change here: put ``specseq/studies/<name>/`` below any folder on
``PYTHONPATH``, without an ``__init__.py`` in ``specseq/`` or ``specseq/studies/``.
"""

import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from specseq.errors import InputError
from specseq.settings import near
from specseq.studies.interface import Figure, Study, Table

# Without second copies of the package: another checkout on the path adds nothing.
__path__ += [
    str(folder / "specseq" / "studies")
    for folder in map(Path, sys.path)
    if (folder / "specseq" / "studies").is_dir() and not (folder / "specseq" / "__init__.py").exists()
]


@cache
def studies() -> dict[str, Study]:
    """Every study that can be found, by name."""
    names = sorted({file.parent.name for place in __path__ for file in Path(place).glob("*/study.py")})
    declared = [import_module(f"{__name__}.{name}.study").STUDY for name in names]
    return {study.name: study for study in declared}


def answers() -> dict[str, Any]:
    """The functions that make the page's opening sentences, by study."""
    return {name: study.load(study.answer) for name, study in studies().items() if study.answer}


def products(kind: Literal["tables", "figures"]) -> dict[str, tuple[Study, Table | Figure]]:
    """The tables or figures of all studies by name, each with its study."""
    return {
        name: (study, made) for study in studies().values() for name, made in getattr(study, kind).items()
    }


def maker(kind: Literal["tables", "figures"], name: str) -> Any:
    """The function that makes the table, or draws the figure, of this name.

    Raises:
        InputError: no study declares it.
    """
    declared = products(kind)
    if name not in declared:
        raise InputError(kind, f"none is called {name!r}", near(name, declared))
    study, made = declared[name]
    return study.load(made.make)
