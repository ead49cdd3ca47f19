"""What a user may ask snakemake for, so that a wrong path is refused before anything is made for it."""

import os
from collections.abc import Collection
from pathlib import Path

from specseq.errors import InputError
from specseq.settings import near
from specseq.studies import products, studies
from specseq.sweeps import Plan

_ENDINGS = {"tables": (".parquet", ".csv"), "figures": (".svg", ".png", ".pdf")}


def check_target(plan: Plan, target: str, rules: Collection[str]) -> None:
    """Refuse a target that no rule can make, such as one of ``rules``, which make one result per run.

    Raises:
        InputError: names the nearest valid target.
    """
    if target in rules:
        remedy = f"ask for a result by its path, such as results/{plan.default}/report/index.html"
        raise InputError(target, "is a rule that makes many results", remedy)
    if os.path.isabs(target):
        raise InputError(target, "is not relative to this folder", f"ask for {os.path.relpath(target)}")
    top, scale, kind, *rest = [*Path(target).parts, "", "", ""][: max(len(Path(target).parts), 3)]
    if top != "results" or not scale:
        return
    if scale not in plan.scales:
        raise InputError(target, f"no scale is called '{scale}'", near(scale, plan.scales))
    if kind == "runs" and len(rest) == 4:
        run, name = "/".join(rest[:3]), rest[3]
        params = plan.run(scale, run)
        results = studies()[params["study"]].results(params, plan)
        if name not in results:
            raise InputError(target, f"{run} has no {name}", f"it has {', '.join(sorted(results))}")
    if kind in _ENDINGS and len(rest) == 1:
        name, ending = os.path.splitext(rest[0])
        known = products(kind)  # type: ignore[arg-type]
        if name not in known:
            raise InputError(target, f"no study declares {kind[:-1]} '{name}'", near(name, known))
        if ending not in (endings := _ENDINGS[kind]):
            fault = f"a {kind[:-1]} has no {ending or 'such file'}"
            raise InputError(target, fault, f"it has {', '.join(endings)}")
