"""Claims and the results they are judged by, planted."""

from pathlib import Path

import numpy as np
import pandas as pd

from specseq.report.claims import Claim, arithmetic, ledger
from specseq.report.claims.language import Note, Statement
from specseq.report.claims.loading import checks_of
from specseq.settings import read
from specseq.tables import Provenance, write_parquet

TASKS, SEEDS = 40, (0, 1, 2)


def plant(path: Path, levels: dict[str, float], noise: float = 0.02, seeds: tuple[int, ...] = SEEDS) -> None:
    """Long results: task effect shared by all runs, noise of its own in each cell."""
    rng = np.random.default_rng(0)
    effect = rng.lognormal(0, 1, TASKS)
    rows = [
        {"run": run, "seed": seed, "task": f"t{task}", "metric": "MASE", "step": -1,
         "value": level * effect[task] * rng.lognormal(0, noise)}
        for run, level in levels.items() for seed in seeds for task in range(TASKS)
    ]  # fmt: skip
    write_parquet(path, pd.DataFrame(rows), Provenance("table"))


def query(run: str, file: str = "tables/a.parquet", **more: object) -> dict:
    return {"query": {"file": file, "where": {"run": run, "metric": "MASE"}, **more}}


def claim(name: str, quantity: dict, relation: dict, **more: object) -> Claim:
    spec = {"id": name, "place": "here", "statement": "It is so.", "published": "1", **more}
    statement = read(Statement, {**spec, "quantity": quantity, "relation": relation}, name)
    return Claim.of(statement, Note("000", "A note"), checks_of([arithmetic]), "planted")


def verdicts(folder: Path, *claims: Claim, scale: str = "laptop") -> dict[str, str]:
    return {e.claim.id.split(".")[1]: e.verdict for e in ledger(claims, folder, scale)}
