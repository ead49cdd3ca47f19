"""The gate of a comparison of trained models: whether its baseline beats the trivial reference.

A baseline that is no better than seasonal naive, an n-gram model or an autoregression has learnt nothing
worth comparing with: the verdict is then :data:`UNDECIDABLE`, with both numbers.

Shapes: T tasks, S seeds.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from specseq.report.pairing import scorable
from specseq.scoring.comparison import paired_ratio, student_interval

DECIDABLE: Final = "decidable"
UNDECIDABLE: Final = "not decidable at this scale"
COLUMNS = ("reference", "reference_value", "baseline_value", "worth", "worth_low", "worth_high", "gate")
"""Columns of a table of comparisons: the reference's name and value, the baseline's, the baseline's worth
(its ratio to the reference, or its difference from it) with a 95 % interval, and :attr:`Gate.text`."""
Floats = NDArray[np.float64]
Ends = tuple[float, float]
_NEUTRAL = {"ratio": 1.0, "difference": 0.0}


@dataclass(frozen=True)
class Gate:
    """Comparison of a baseline with the trivial reference.

    Attributes:
        measure: what both are judged by, such as ``MASE``; lower is better.
        reference: name of the trivial reference.
        baseline_value, reference_value: their values.
        by: how they are compared.
        worth: the baseline's ratio to the reference, or its difference from it.
        low, high: its 95 % interval; NaN for none.
    """

    measure: str
    reference: str
    baseline_value: float
    reference_value: float
    by: Literal["ratio", "difference"]
    worth: float
    low: float = math.nan
    high: float = math.nan

    @property
    def passes(self) -> bool:
        """Whether the baseline is better than the reference; false if either has no finite value."""
        return self.worth < _NEUTRAL[self.by]

    @property
    def numbers(self) -> str:
        """In words: ``MASE of the baseline 2.31, of Seasonal Naive 1.46, ratio 1.58 [1.3, 1.9]``."""
        if math.isnan(self.reference_value):
            return f"{self.measure} of {self.reference} on the same data is not known"
        interval = "" if math.isnan(self.low) else f" [{self.low:.3g}, {self.high:.3g}]"
        return (
            f"{self.measure} of the baseline {self.baseline_value:.4g}, "
            f"of {self.reference} {self.reference_value:.4g}, {self.by} {self.worth:.3g}{interval}"
        )

    @property
    def text(self) -> str:
        """:data:`DECIDABLE` or :data:`UNDECIDABLE`, and the numbers why."""
        return f"{DECIDABLE if self.passes else UNDECIDABLE}: {self.numbers}"

    def verdict(self, verdict: str) -> str:
        """A comparison's verdict if the gate is passed; verdicts on lost results stay as they are."""
        return verdict if self.passes or verdict in ("diverged", "no baseline") else UNDECIDABLE

    def columns(self) -> dict[str, Any]:
        """The gate as :data:`COLUMNS`."""
        values = (
            self.reference, self.reference_value, self.baseline_value,
            self.worth, self.low, self.high, self.text,
        )  # fmt: skip
        return dict(zip(COLUMNS, values, strict=True))


def no_gate() -> dict[str, Any]:
    """:data:`COLUMNS` of a row that is compared with no trained model."""
    return dict.fromkeys(COLUMNS, math.nan) | {"reference": None, "gate": None}


def ratio_gate(
    measure: str, reference: str, baseline_TS: pd.DataFrame, reference_T: "pd.Series[Any]"
) -> Gate:
    """The gate of errors: the geometric mean ratio to the reference over the tasks that both have."""
    shared = baseline_TS.index.intersection(reference_T.index)
    baseline, trivial = baseline_TS.loc[shared].to_numpy(float), reference_T.loc[shared].to_numpy(float)
    usable = scorable(trivial) & (scorable(baseline).all(axis=1) if baseline.size else False)
    if not baseline.size or not usable.any() or not np.isfinite(baseline).all():
        return Gate(measure, reference, math.nan, math.nan, "ratio", math.nan)
    logs_TS, trivial_T = np.log(baseline[usable]), np.log(trivial[usable])
    worth, low, high = paired_ratio(logs_TS - trivial_T[:, None])
    if logs_TS.size < 2:
        low = high = math.nan
    return Gate(
        measure, reference, math.exp(logs_TS.mean()), math.exp(trivial_T.mean()), "ratio", worth, low, high
    )


def difference_gate(
    measure: str, reference: str, baseline_S: Floats, reference_S: Floats, ends: Ends | None = None
) -> Gate:
    """The gate of likelihoods: the mean difference from the reference, which may be one for all seeds.

    ``ends`` are those of the interval of the baseline's mean; by default, Student's of the differences.
    """
    reference_S = np.broadcast_to(reference_S, baseline_S.shape)
    apart_S = baseline_S - reference_S
    mean, trivial = (
        float(values.mean()) if len(values) else math.nan for values in (baseline_S, reference_S)
    )
    low, high = student_interval(apart_S) if ends is None else (end - trivial for end in ends)
    return Gate(measure, reference, mean, trivial, "difference", mean - trivial, low, high)


def worst(gates: Iterable[Gate]) -> Gate | None:
    """The gate of several baselines that counts most against a comparison; None if there are none."""
    return max(gates, key=lambda gate: math.inf if math.isnan(gate.worth) else gate.worth, default=None)
