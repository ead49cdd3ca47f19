"""Whether the GPUs hold what the scale trains on them: of this machine, or of the partition."""

import re
from collections.abc import Iterator
from csv import DictReader
from importlib.util import find_spec
from pathlib import Path

from specseq.launch import gpus
from specseq.launch.settings import SlurmSettings
from specseq.studies.cost.devices import DEVICES
from specseq.studies.planning import Planning
from specseq.studies.preflight.finding import Finding
from specseq.studies.preflight.jobs import ask, training_settings
from specseq.studies.preflight.machine import ALL, recorded_costs
from specseq.studies.rehearsal import PUBLISHED, REHEARSAL
from specseq.sweeps import Plan

# Compute capability from which on a GPU has bfloat16.
_BFLOAT16 = 8.0
_NO_BFLOAT16 = "expect float32 in its place: twice the memory, and slower"
_NO_CUDA = Finding("gpu", "torch was built without CUDA", "install the build for your driver")
# GB of cards by the names that clusters give them in `gres`, the largest of each name; the old lack bfloat16.
_OLD = {"p100": 16, "v100": 32, "t4": 16, "2080": 11}
_MEMORY = {
    **_OLD,
    **{
        "a30": 24,
        "l4": 24,
        "rtx6000": 48,
        "a40": 48,
        "l40": 48,
        "3090": 24,
        "4090": 24,
        "5090": 32,
        "gh200": 96,
    },
    **{device.name: device.memory for device in DEVICES.values() if not device.host},
}


def local_cards(plan: Plan, scale: str, root: Path) -> Iterator[Finding]:
    """Whether this machine has what the scale trains on; nothing for a scale that trains on CPUs."""
    planning = Planning(plan)
    trained = [run for run, params in plan.runs(scale).items() if "training" in params]
    if not any(planning.resources(scale, "pretrain", run).gpus for run in trained):
        return
    found = gpus.cards()
    if not (found or gpus.visible()):
        fault = f"none is visible, and the scale {scale} trains on GPUs"
        yield Finding("gpu", fault, "use a machine that has one, or --config 'resources={all: {gpus: 0}}'")
        return
    if not _cuda_build():
        yield _NO_CUDA
        return
    if old := [card.name for card in found if card.capability < _BFLOAT16]:
        remedy = f"leave it out by CUDA_VISIBLE_DEVICES, or {_NO_BFLOAT16}"
        yield Finding("gpu", f"{old[0]} has no bfloat16", remedy)
    else:
        note = f"{len(found)}, {', '.join(sorted({card.name for card in found}))}"
        yield Finding("gpu", note=note if found else "nvidia-smi does not describe them")
    if found:
        smallest = min(found, key=lambda card: card.gigabytes)
        yield from _holds(root, scale, smallest.name, smallest.gigabytes)


def slurm_cards(plan: Plan, scale: str, root: Path) -> Iterator[Finding]:
    """Whether the GPUs that training asks for, or that its partition has, hold the steps of a scale."""
    names: set[str] = set()
    asking = {where for settings in training_settings(plan, scale).values() if (where := _where(settings))}
    if asking and not _cuda_build():
        yield _NO_CUDA
    for partition, asked in asking:
        options = [f"--partition={partition}"] if partition else []
        listed = None if _names(asked) else ask("sinfo", "--noheader", *options, "--format=%G")
        names |= _names(asked) or _names(listed.stdout if listed and listed.returncode == 0 else "")
    if not names:
        return
    smallest = min(names, key=lambda name: _MEMORY[name])
    if old := sorted(names & _OLD.keys()):
        remedy = f"choose others by slurm.gpus_per_node, or {_NO_BFLOAT16}"
        yield Finding("gpu", f"{old[0]} has no bfloat16", remedy)
    yield from _holds(root, scale, smallest, _MEMORY[smallest])


def _where(settings: SlurmSettings) -> tuple[str, str] | None:
    """Partition of a job that asks for GPUs, and all it says of them; None for one without."""
    options = settings.additional_parameters or {}
    asked: list[object] = [settings.gpus_per_node, settings.gpus_per_task, settings.gres]
    asked += [options.get(name) for name in ("gres", "gpus", "gpus_per_node", "gpus-per-node")]
    if not any(asked):
        return None
    words = [*asked, settings.partition, settings.constraint]
    return settings.partition or "", " ".join(str(word) for word in words if word)


def _names(text: str) -> set[str]:
    """The known cards that options or the resources of nodes name."""
    words = re.findall(r"[a-z0-9]+", text.casefold())
    return {name for word in words for name in _MEMORY if word.removesuffix("s") == name}


def _holds(root: Path, scale: str, card: str, gigabytes: float) -> Iterator[Finding]:
    """Whether a card holds a step of every sweep, by the recorded costs."""
    needs = {
        f"{study}/{sweep}": float(row["gib_per_step"]) * 1.074
        for (study, sweep), row in recorded_costs(root, scale).items()
        if ALL not in (study, sweep)
    }
    if not needs:
        return
    largest = max(needs, key=lambda sweep: needs[sweep])
    note = f"{card} has {gigabytes:.0f} GB, and a step of {largest} takes {needs[largest]:.0f}"
    if too_large := [sweep for sweep, need in needs.items() if need > 0.95 * gigabytes]:
        remedy = f"raise training.micro_batches of {', '.join(too_large)}, or choose larger cards"
        yield Finding("card", note, remedy)
    else:
        yield Finding("card", note=note)


def rehearsed(scale: str, root: Path) -> Iterator[Finding]:
    """What a rehearsal found, before the scale that it rehearses."""
    if scale != PUBLISHED:
        return
    path = root / "results" / REHEARSAL / "rehearsal.csv"
    if not path.is_file():
        yield Finding("rehearsal", note="none yet: --config scale=rehearsal measures what each kind takes")
        return
    with path.open(encoding="utf-8", newline="") as lines:
        verdicts = {row["run"]: row["verdict"] for row in DictReader(lines)}
    failed = {run: text for run, text in verdicts.items() if not text.startswith(("fits", "runs, with"))}
    if failed:
        run, verdict = next(iter(failed.items()))
        yield Finding(
            "rehearsal", f"{len(failed)} of {len(verdicts)} runs, such as {run}: {verdict}", f"see {path}"
        )
    else:
        yield Finding("rehearsal", note=f"{len(verdicts)} runs were rehearsed, and none is at fault")


def _cuda_build() -> bool:
    """Whether torch can use CUDA, without the seconds that its import takes."""
    place = find_spec("torch")
    text = Path(place.origin).with_name("version.py").read_text() if place and place.origin else ""
    return re.search(r"^cuda\b.*=\s*['\"]", text, re.MULTILINE) is not None
