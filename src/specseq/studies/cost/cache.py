"""Usages that were metered before, in the user's cache folder: metering takes a second per kind."""

import hashlib
import json
import os
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from specseq.sources import module_file, source_digest
from specseq.studies import studies
from specseq.studies.cost.step import StageUsage, StepUsage
from specseq.tables.files import write_text
from specseq.training.metering import Usage

T = TypeVar("T", StepUsage, StageUsage)


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/specseq``, or ``~/.cache/specseq``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "specseq"


class UsageCache:
    """Usages by what determines them; those metered with other code are not found."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"usages_{_code()}.json"
        self._held: dict[str, Any] = {}
        try:
            self._held = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # None yet, or one that was damaged: it is made again.
            self._held = {}

    def get(self, key: str, kind: type[T]) -> T | None:
        """The usage of a step or a stage, if it is known."""
        held = self._held.get(_digest(key))
        return None if held is None else kind(**{name: _read(value) for name, value in held.items()})

    def put(self, key: str, usage: StepUsage | StageUsage) -> None:
        """Keep a usage; :meth:`save` writes it."""
        self._held[_digest(key)] = _plain(usage)

    def save(self) -> None:
        """Write the file, whole; a folder that cannot be written is not a fault."""
        try:
            write_text(self._path, json.dumps(self._held))
        except OSError:
            return


def _code() -> str:
    """Digest of the source that decides usages: the studies' descriptions and all that they import."""
    files = [os.fspath(module_file(study.module(study.cost))) for study in studies().values() if study.cost]
    return source_digest("training/metering.py", *sorted(files))[:16]


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:24]


def _plain(held: StepUsage | StageUsage) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if not isinstance(value, Usage):
            return value
        operators = [[*kind, count] for kind, count in value.operators.items()]
        return [operators, value.views, value.peak_bytes, dict(value.syncs)]

    return {field.name: plain(getattr(held, field.name)) for field in fields(held)}


def _read(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    operators = Counter({(kind, flops, moved): count for kind, flops, moved, count in value[0]})
    return Usage(operators, value[1], value[2], Counter(value[3]))
