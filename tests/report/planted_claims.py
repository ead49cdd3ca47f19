"""Claims and the results they are judged by, planted."""

from pathlib import Path

import numpy as np
import pandas as pd

from specseq.report.claims import Claim, ledger
from specseq.report.claims.quantities import check_quantity
from specseq.report.claims.schema import read_relation
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
    check_quantity(quantity, name)
    return Claim(
        id=f"000.{name}", note="000", place="here", statement="It is so.", published="1",
        quantity=quantity, relation=read_relation(relation, name), **more,
    )  # fmt: skip


def verdicts(folder: Path, *claims: Claim, scale: str = "laptop") -> dict[str, str]:
    return {e.claim.id.split(".")[1]: e.judgement.verdict for e in ledger(claims, folder, scale)}
