"""What the page lacks: jobs that failed, those that waited for them, and training that diverged."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from specseq.report.page.tables import table


def missing(
    lost: Sequence[Mapping[str, Any]], records: Iterable[tuple[str, Mapping[str, Any] | None]]
) -> dict[str, Any]:
    """What a reader has to know about missing results.

    Args:
        lost: jobs that failed or could not begin: ``rule``, ``name``, ``failed``, ``reason``, ``log``.
        records: result files and their provenance.

    Returns:
        ``failed`` and ``diverged``, tables or None, and ``waiting``, how many jobs of which rule could not
        begin.
    """
    failed = [
        {"made by": job["rule"], "run": job["name"], "reason": job["reason"], "log": job["log"]}
        for job in lost
        if job["failed"]
    ]
    diverged = [
        {"run": record.get("run"), "reason": record["diverged"]}
        for _, record in records
        if record and record.get("stage") == "pretrain" and record.get("diverged")
    ]
    return {
        "failed": table(pd.DataFrame(failed)) if failed else None,
        "diverged": table(pd.DataFrame(diverged)) if diverged else None,
        "waiting": sorted(Counter(job["rule"] for job in lost if not job["failed"]).items()),
    }
