"""All results of the study ``zeta`` as they are (:mod:`specseq.report.tidy`).

Besides its columns there is ``length``: the spacings of a window of the run's model, missing where the run
has none.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from specseq.report import tidy as long_results
from specseq.settings import read
from specseq.spacings.config import SpacingModelConfig
from specseq.tables import read_provenance


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: lists of long results under any names; their provenance holds the models.
        params: not needed.
    """
    long = long_results.make(inputs, params)
    records = [read_provenance(path) for paths in inputs.values() for path in paths]
    lengths = {
        record["run"]: read(SpacingModelConfig, record["parameters"]["model"], "model").length
        for record in records
        if "model" in record["parameters"]
    }
    return long.assign(length=long["run"].map(lengths).astype("Int64"))
