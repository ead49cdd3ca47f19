"""The smoke scale with other seeds: no verdict turns into its opposite.

Two whole runs, each of three seeds per study: half an hour on two cores, so only where SPECSEQ_SEEDS is set.
"""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.workflow.workspace import Workspace, copy_workflow

HELD, AGAINST = {"reproduced"}, {"contradicted", "inconsistent", "does not hold"}


def shifted(by: int) -> dict[str, Any]:
    """A config in which every seed of the smoke scale is moved: of runs, data, controls and resampling."""
    seeds = [by, by + 1, by + 2]
    studies: dict[str, Any] = {
        name: {"over": {"seed": seeds}} for name in ("preconditioning", "stu", "equilibrium", "zeta")
    }
    studies["equilibrium"]["mechanisms"] = {"seed": by}
    studies["zeta"]["sweeps"] = {"size": {"over": {"data.limit": [2000], "seed": seeds}}}
    data = {"seed": by, "spacings": {"seed": by}, "references": {"seed": by}}
    return {"scale": "smoke", "scales": {"smoke": {"data": data, "studies": studies}}}


def verdicts(workspace: Workspace, by: int) -> "pd.Series[str]":
    """Verdict of each claim after a run with shifted seeds."""
    (workspace.folder / "seeds.yaml").write_text(yaml.safe_dump(shifted(by)))
    workspace.snakemake("--configfile", "seeds.yaml", "--", "results/smoke/claims.parquet")
    return pd.read_parquet(workspace.folder / "results/smoke/claims.parquet").set_index("id")["verdict"]


def flips(one: "pd.Series[str]", other: "pd.Series[str]") -> list[str]:
    """Claims that hold in one and not in the other; *undecided* says that the interval allows both."""
    both = pd.concat([one, other], axis=1, join="inner")
    return [
        str(name)
        for name, (a, b) in zip(both.index, both.itertuples(index=False, name=None), strict=True)
        if (a in HELD and b in AGAINST) or (a in AGAINST and b in HELD)
    ]


def test_a_turn_is_noticed() -> None:
    one = pd.Series({"a": "reproduced", "b": "reproduced", "c": "does not hold", "d": "contradicted"})
    other = pd.Series({"a": "contradicted", "b": "undecided", "c": "reproduced", "d": "contradicted"})
    assert flips(one, other) == ["a", "c"]


@pytest.mark.slow
def test_no_verdict_turns_with_other_seeds(tmp_path: Path) -> None:
    if "SPECSEQ_SEEDS" not in os.environ:
        pytest.skip("takes half an hour; SPECSEQ_SEEDS=1 runs it")
    one, other = (verdicts(copy_workflow(tmp_path / str(by)), by) for by in (0, 100))
    assert len(one) > 400
    assert flips(one, other) == []
