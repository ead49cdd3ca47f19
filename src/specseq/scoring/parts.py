"""A long evaluation in parts that are kept beside its result, so that a killed job can resume there.

A part is a config or task under one filter, or without one. The parts of each config or task are one JSON
file, which is rewritten after each part.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np

from specseq.filters import Filter
from specseq.scoring.evaluate import Outcome, by_filter
from specseq.scoring.evaluation import Evaluation
from specseq.scoring.reversal import NONE, ForecastPlan, Variant
from specseq.sources import source_digest
from specseq.tables import digest
from specseq.tables.files import stat_digest
from specseq.tables.kept import Kept

Outcomes = dict[Variant, Outcome]


class Parts:
    """Parts of one evaluation in a folder.

    Args:
        folder: for the parts of this evaluation alone.
        parameters: all that decides the numbers besides data, tasks and code; parts made with others are not
            used.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        self.folder = folder
        self.parameters = {**parameters, "code": source_digest("scoring/parts.py", "models")}

    def evaluate(self, evaluation: Evaluation, plan: ForecastPlan, report: Callable[[int], None]) -> Outcomes:
        """The outcomes of a config or task: parts that exist are read, the others made and kept.

        Raises:
            InputError: a forecast is missing, not finite or out of order.
        """
        data = {"settings": evaluation.settings(), "files": stat_digest(evaluation.files())}
        kept, name = Kept(self.folder, {**self.parameters, **data}), digest({"name": evaluation.name})
        parts = {row["part"]: dict(map(_restored, row["outcomes"])) for row in kept.read(name) or ()}
        for part, outcomes in by_filter(evaluation, plan, report, done=tuple(parts)):
            parts[part] = outcomes
            rows = [
                {"part": part, "outcomes": list(starmap(_plain, made.items()))}
                for part, made in parts.items()
            ]
            kept.keep(name, rows)
        return {variant: made for part in (NONE, *plan.filters) for variant, made in parts[part].items()}

    def forget(self) -> None:
        """Delete all parts: the result holds them."""
        Kept(self.folder).forget()


def _plain(variant: Variant, outcome: Outcome) -> dict[str, Any]:
    return {
        "variant": list(variant),
        "values": outcome.values,
        "filter": outcome.filter and asdict(outcome.filter),
        "diverged": outcome.diverged,
        "steps": None if outcome.steps is None else outcome.steps.tolist(),
    }


def _restored(kept: Mapping[str, Any]) -> tuple[Variant, Outcome]:
    filter = kept["filter"] and Filter(**{**kept["filter"], "taps": tuple(kept["filter"]["taps"])})
    steps = None if kept["steps"] is None else np.array(kept["steps"])
    return Variant(*kept["variant"]), Outcome(kept["values"], filter, kept["diverged"], steps)
