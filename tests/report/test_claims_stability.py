"""Runs with other seeds: no decided verdict turns into its opposite more often than an interval may err."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from specseq.report.claims import Claim
from specseq.report.claims.ledger import Ledger
from specseq.report.claims.queries import Folder
from specseq.spacings.statistics import mean_interval
from tests.report.planted_claims import claim

PAIRS, TASKS = 20, 10
OPPOSITE = {"reproduced": "does not hold", "does not hold": "reproduced"}


def _side(run: str, **more: object) -> dict:
    return {"query": {"file": "tables/a_long.parquet", "where": {"group": run, "metric": "MASE"}, **more}}


def _results(effect: float, draw: np.random.Generator, tasks: np.ndarray) -> pd.DataFrame:
    """Two models, three seeds, ten tasks whose effects are those of the data and stay between repetitions."""
    rows = []
    for run, level in (("a/ours", effect), ("a/theirs", 0.0)):
        for seed in range(3):
            own = level + draw.normal(0, 0.1)
            for task, base in enumerate(tasks):
                error = np.exp(base + own + draw.normal(0, 0.05))
                rows.append((run, f"{run}_seed{seed}", seed, f"t{task}", "MASE", error))
    return pd.DataFrame(rows, columns=["group", "run", "seed", "task", "metric", "value"])


@pytest.mark.parametrize("effect", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["ratio", "difference"])
def test_no_verdict_turns_into_its_opposite_with_other_seeds(effect: float, kind: str) -> None:
    bound = {"ratio": 1, "difference": 0}[kind]
    compared = claim(kind, {kind: [_side("a/ours"), _side("a/theirs")]}, {"below": bound})
    draw = np.random.default_rng(round(1000 * (1 + effect)))
    tasks = draw.normal(0, 1 if kind != "difference" else 0.1, TASKS)
    verdicts = [_verdict(compared, _results(effect, draw, tasks)) for _ in range(2 * PAIRS)]
    pairs = list(zip(verdicts[::2], verdicts[1::2], strict=True))
    opposite = sum(OPPOSITE.get(one) == other for one, other in pairs)
    assert opposite == 0, Counter(pairs)
    wrong = Counter(verdicts)["reproduced" if effect >= 0 else "does not hold"]
    assert wrong <= 0.1 * 2 * PAIRS, Counter(verdicts)
    if effect:
        assert Counter(verdicts)["does not hold"] > PAIRS, "a large effect is found"


def _verdict(compared: Claim, frame: pd.DataFrame) -> str:
    folder = Folder(Path("nowhere"), {"tables/a_long.parquet": frame})
    return Ledger(folder, "laptop", {}).judge(compared).verdict


def test_one_seed_never_decides_what_was_drawn() -> None:
    draw = np.random.default_rng(0)
    frame = _results(-2.0, draw, draw.normal(0, 1, TASKS))
    one = frame[frame["seed"] == 0]
    compared = claim("one", {"ratio": [_side("a/ours"), _side("a/theirs")]}, {"below": 1})
    assert (_verdict(compared, one), _verdict(compared, frame)) == ("undecided", "reproduced")


def _statistic(task: str) -> dict:
    where = {"task": task, "metric": "form_factor_band"}
    return {"query": {"file": "tables/a_long.parquet", "where": where, "interval": "rows"}}


def test_a_statistic_of_few_windows_decides_no_more_than_they_tell() -> None:
    """Means of exponential form factors: equal in truth, 2:1 in truth; a single window decides nothing."""
    draw, seen = np.random.default_rng(1), Counter[tuple[float, str]]()
    below = claim("band", {"ratio": [_statistic("ours"), _statistic("theirs")]}, {"below": 1})
    for truth in (1.0, 0.5):
        for _ in range(40):
            rows = []
            for task, mean in (("ours", truth), ("theirs", 1.0)):
                values = mean * draw.exponential(size=(8, 40)).mean(axis=1)
                low, high = mean_interval(values, draw, draws=200)
                ends = {"": values.mean(), "_low": low, "_high": high}
                rows += [(task, f"form_factor_band{end}", value) for end, value in ends.items()]
            frame = pd.DataFrame(rows, columns=["task", "metric", "value"])
            seen[truth, _verdict(below, frame)] += 1
    assert seen[1.0, "undecided"] >= 34, seen
    assert seen[0.5, "reproduced"] >= 36, seen
    frame.loc[frame["metric"].str.contains("low|high"), "value"] = np.nan
    assert _verdict(below, frame) == "undecided"
