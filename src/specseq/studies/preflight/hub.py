"""Whether the hub gives what is to be downloaded."""

import os
from collections.abc import Iterator, Sequence

from specseq.errors import InputError
from specseq.series.downloads import Source, repository_of
from specseq.series.hub import HubRepository
from specseq.settings import read
from specseq.studies.config import Downloads
from specseq.studies.preflight.finding import Finding
from specseq.sweeps import Plan

_REMEDY = "download where there is a network, or give folders under data"


def hub_gives(plan: Plan, names: Sequence[Source]) -> Iterator[Finding]:
    """Whether the hub can be reached and gives each source to this user; nothing where none is needed."""
    if not names:
        return
    wanted = ", ".join(names)
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        yield Finding("hub", f"HF_HUB_OFFLINE is set, and {wanted} are to be downloaded", _REMEDY)
        return
    selected = read(Downloads, plan.config.content.get("downloads") or {}, "downloads")
    for name in names:
        select = getattr(selected, name)
        if select is None:
            fault = f"{name} is to be downloaded, and downloads.{name} does not say what"
            yield Finding(f"hub ({name})", fault, "add it to config.yaml")
            continue
        found = _given(name, repository_of(name, select))
        if found.fault and found.check == "hub":
            yield Finding("hub", f"{found.fault}, and {wanted} are to be downloaded", _REMEDY)
            return
        yield found


def _given(name: Source, repository: HubRepository) -> Finding:
    check = f"hub ({name})"
    try:
        repository.check_access()
    except InputError as error:
        if error.fault.startswith("the hub cannot be reached"):
            return Finding("hub", error.fault.removeprefix("the hub "))
        remedy = error.remedy or f"correct downloads.{name} in config.yaml"
        return Finding(check, f"{repository.name}: {error.fault}", remedy)
    return Finding(check, note=f"{repository.name} will be downloaded")
