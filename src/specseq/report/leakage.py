"""How much of what a model was evaluated on lies in its training corpus."""

import json
from collections.abc import Iterable
from pathlib import Path

from specseq.series.overlap import leaked_keys


def leaked_configs(benchmark: str, tasks: Iterable[str], corpus: Path) -> float:
    """GIFT-Eval configs among ``tasks`` whose data set the training corpus holds too.

    Args:
        benchmark: whose tasks they are; overlaps are known for ``gift_eval`` alone, others give NaN.
        tasks: configs, ``key/freq/term``; each counts once.
        corpus: manifest of the prepared training corpus.
    """
    if benchmark != "gift_eval":
        return float("nan")
    keys = leaked_keys(json.loads(corpus.read_text(encoding="utf-8")))
    return float(sum(task.split("/")[0] in keys for task in set(tasks)))
