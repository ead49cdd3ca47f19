"""Designs of several filters at once, and their table of taps and diagnostics."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa

from specseq.errors import InputError
from specseq.filters.config import FilterSettings, Matched, NamedFilter
from specseq.filters.design import design
from specseq.filters.diagnostics import HORIZONS, Diagnostics, diagnose
from specseq.filters.filter import Filter
from specseq.settings import STRICT, Field, dataclass, plain
from specseq.sources import source_digest
from specseq.tables import Provenance, digest, read_parquet, write_parquet
from specseq.tables.kept import Kept

METRIC = "residual_autocovariance"


MAX_HORIZON = 1_000_000


@dataclass(frozen=True, config=STRICT, kw_only=True)
class DesignRequest:
    """Filters to design."""

    filters: dict[str, NamedFilter] = Field(
        min_length=1, description="specifications by name; an empty name is replaced by family and settings"
    )
    horizons: tuple[Annotated[int, Field(ge=0, le=MAX_HORIZON)], ...] = Field(
        HORIZONS, min_length=1, description="horizons H of the gain v(H)"
    )
    residuals: Path | None = Field(
        None,
        description="long table with a baseline's residual_autocovariance, for matched filters that give "
        "none; their horizon is its number of lags unless they give it",
    )
    out: Path | None = Field(None, description="Parquet file to write; null: none")
    parts: Path | None = Field(None, description="folder for what a job that is killed leaves")


def design_filters(request: DesignRequest) -> list[tuple[Filter, Diagnostics]]:
    """Design filters, diagnose them and write their table if requested.

    Raises:
        InputError: an impossible specification, or residuals that hold no autocovariance.
    """
    provenance = Provenance("design", {"filters": plain(request.filters), "horizons": request.horizons})
    kept = Kept(request.parts, {"code": source_digest("filters/table.py")})
    measured: tuple[float, ...] | None = None
    designed = []
    for name, spec in request.filters.items():
        if isinstance(spec, Matched) and spec.autocovariance is None and request.residuals:
            measured = measured or autocovariance(request.residuals)
            spec = replace(spec, autocovariance=measured, horizon=spec.horizon or len(measured))
        filter = _designed(kept, name, spec)
        designed.append((filter, diagnose(filter, request.horizons)))
    if request.out:
        write_parquet(request.out, filter_table(designed), provenance)
    kept.forget()
    return designed


def _designed(kept: Kept, name: str, spec: FilterSettings) -> Filter:
    """A filter, designed if it was not kept under its name and all of its specification."""
    part = digest({"name": name, "filter": plain(spec)})
    (record,) = kept.rows(part, lambda: [asdict(design(spec, f"filters.{name}", name))])
    return Filter(**{**record, "taps": tuple(record["taps"])})


def filter_table(designed: Sequence[tuple[Filter, Diagnostics]]) -> pa.Table:
    """One row per filter: ``name, family, degree, lam, stride, taps``, then the diagnostics.

    v(H) is the column ``horizon_gain_<H>``; the roots are two lists; infinities stay infinite.
    """
    rows = [_row(filter, diagnostics) for filter, diagnostics in designed]
    return pa.table(
        {
            # Without an explicit type, a column of weights would have type null if no filter has one.
            name: pa.array([row[name] for row in rows], pa.float64() if name == "lam" else None)
            for name in rows[0]
        }
    )


def _row(filter: Filter, diagnostics: Diagnostics) -> Mapping[str, Any]:
    row = {name: getattr(filter, name) for name in ("name", "family", "degree", "lam", "stride")}
    row["taps"] = list(filter.taps)
    for name, value in vars(diagnostics).items():
        if name == "horizon_gain":
            row |= {f"horizon_gain_{horizon}": gain for horizon, gain in value.items()}
        elif name == "roots":
            row |= {"roots_real": [one.real for one in value], "roots_imag": [one.imag for one in value]}
        else:
            row[name] = value
    return row


def autocovariance(residuals: Path) -> tuple[float, ...]:
    """Mean over tasks of their normalised autocovariances γ_k/γ_0, up to the last lag that all tasks have.

    Raises:
        InputError: the table holds no autocovariance, or a task has no variance.
    """
    frame = read_parquet(residuals, ["task", "step", "metric", "value"])
    rows = frame[frame["metric"] == METRIC]
    table = rows.pivot_table(index="task", columns="step", values="value").dropna(axis=1)
    if table.empty or list(table.columns) != list(range(table.shape[1])):
        raise InputError(
            residuals, f"no metric {METRIC} with lags from 0", "make it from a baseline's errors"
        )
    if not (table[0] > 0).all():
        task = table.index[~(table[0] > 0)][0]
        raise InputError(residuals, f"{METRIC} of {task} is {table[0][task]:g} at lag 0", "leave it out")
    return tuple(float(value) for value in table.div(table[0], axis=0).mean())
