"""Evaluations and forecasters from the parameters of a run, as all stages that score take them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.models.chronos2 import HUB_ID, find_weights, is_hub_id
from specseq.models.protocol import Forecaster
from specseq.models.registry import load_forecaster
from specseq.scoring.evaluation import Evaluation, fev_evaluations, gift_evaluations
from specseq.scoring.gift_eval import TERMS
from specseq.scoring.published import BENCHMARKS


def open_evaluations(params: Mapping[str, Any], data: Path, tasks: Path | None = None) -> list[Evaluation]:
    """The configs or tasks of ``benchmark``, those of ``terms`` and ``only`` where these are given.

    Args:
        params: of a run.
        data: folder of the benchmark's data.
        tasks: FEV-Bench: a ``tasks.yaml``.

    Raises:
        InputError: an unknown benchmark, or data that are not there.
    """
    if params.get("benchmark") not in BENCHMARKS:
        raise InputError("benchmark", f"{params.get('benchmark')!r}", f"choose of {', '.join(BENCHMARKS)}")
    only = params.get("only", ())
    if params["benchmark"] == "fev":
        return fev_evaluations(data, tasks, only)
    return gift_evaluations(data, params.get("terms", tuple(TERMS)), only)


def open_forecaster(
    spec: Mapping[str, Any], weights: Path | None, benchmark: str, where: str = "forecaster"
) -> Forecaster:
    """The forecaster that ``weights`` hold or that ``spec`` names, with the options in ``spec``.

    Raises:
        InputError: both or neither are given, or there is no such forecaster.
    """
    options = {name: value for name, value in spec.items() if name != "name"}
    if (weights is None) == ("name" not in spec):
        raise InputError(where, "give either a name or --weights")
    return load_forecaster(weights or spec["name"], benchmark, **options)


def fingerprint(source: str | Path) -> str:
    """What identifies a forecaster in a result: its name, or the content of its weights and their config."""
    named = HUB_ID if str(source) == "chronos2" else source
    path = find_weights(named) if is_hub_id(named) else Path(named)
    files = [path] if path.is_file() else sorted({*path.glob("*.safetensors"), *path.glob("config.json")})
    if not files:
        return str(source)
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            found.update(hashlib.file_digest(handle, "sha256").digest())
    return f"sha256:{found.hexdigest()[:16]}"
