"""What a reader needs to check findings without running anything: the ledger, summary tables, provenance."""

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.report.sections import Section
from specseq.tables import read_provenance
from specseq.tables.files import atomic_path, write_text

LARGEST = 200_000
"""Bytes of the largest table that is kept; longer ones hold single results, which summaries are made of."""


def write_evidence(results: Path, sections: Iterable[Section], folder: Path) -> list[Path]:
    """Copy a scale's ledger and summary tables as CSV, and write ``provenance.json``; returns all files.

    Raises:
        InputError: the ledger is not made.
    """
    ledger = results / "claims.csv"
    if not ledger.is_file():
        raise InputError(
            ledger, "not there", f"make it: snakemake --cores all {ledger.with_suffix('.parquet')}"
        )
    tables = [(results / table.file).with_suffix(".csv") for one in sections for table in one.tables]
    kept = [path for path in tables if path.is_file() and path.stat().st_size <= LARGEST]
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for path in (ledger, *kept):
        with atomic_path(folder / path.name) as target:
            shutil.copyfile(path, target)
        written.append(folder / path.name)
    write_text(folder / "provenance.json", json.dumps(provenance(results), indent=1) + "\n")
    return [*written, folder / "provenance.json"]


def provenance(results: Path) -> dict[str, Any]:
    """Software, hardware and time behind the results of a scale.

    ``hours`` is the wall time of training by study, summed over jobs even if they ran at the same time, and
    ``cpu_hours`` the processor time where it was recorded; ``restarts`` counts restarts by a cluster and
    ``resumed`` the runs that resumed from a checkpoint. ``lock`` is the SHA-256 of the list of packages that
    the workflow puts beside its results.
    """
    records = [read_provenance(path) for path in sorted((results / "runs").rglob("pretrain.parquet"))]
    runs, hours = defaultdict[str, int](int), defaultdict[str, float](float)
    cpu_hours = defaultdict[str, float](float)
    for record in records:
        study = str(record["run"]).partition("/")[0]
        runs[study] += 1
        hours[study] += record["wall_seconds"] / 3600
        if "cpu_seconds" in record:
            cpu_hours[study] += record["cpu_seconds"] / 3600
    ledger = read_provenance(results / "claims.parquet")
    lock = results / "requirements.lock"
    return {
        "scale": results.name,
        "revisions": sorted({str(record["git"]) for record in [*records, ledger]}),
        "finished": ledger["finished"],
        "python": ledger["python"],
        "versions": ledger["versions"],
        "lock": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None,
        "machine": ledger["machine"],
        "cores": ledger["cores"],
        "devices": sorted({str(record["device"]) for record in records}),
        "seeds": sorted({record["seed"] for record in records}),
        "runs": dict(runs),
        "hours": {study: round(spent, 3) for study, spent in hours.items()},
        "cpu_hours": {study: round(spent, 3) for study, spent in cpu_hours.items()},
        "restarts": sum(record.get("restarts") or 0 for record in records),
        "resumed": sum((record.get("resumed_from") or 0) > 0 for record in records),
        "verdicts": ledger.get("verdicts"),
    }
