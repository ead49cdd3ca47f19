"""How much of what a model was evaluated on lies in its training corpus."""

import json
from collections.abc import Iterable
from pathlib import Path

from specseq.series.overlap import leaked_keys


def leaked_configs(benchmark: str, tasks: Iterable[str], corpus: Path) -> float:
    """Configs among ``tasks`` whose series the training corpus holds too, wholly or up to their test windows.

    The embedded corpus holds the earlier parts of all embedded sets.

    Args:
        benchmark: whose tasks they are; overlaps are known for ``gift_eval`` alone, others give NaN.
        tasks: configs, ``key/freq/term``; each counts once.
        corpus: manifest of the prepared training corpus.
    """
    if benchmark != "gift_eval":
        return float("nan")
    manifest = json.loads(corpus.read_text(encoding="utf-8"))
    held = leaked_keys(manifest) | {name for name, entry in manifest["datasets"].items() if entry["series"]}
    parts = [task.split("/") for task in set(tasks)]
    return float(sum(part[0] in held or "_".join(part[:2]) in held for part in parts))
