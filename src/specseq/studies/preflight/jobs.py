"""Whether SLURM would take the jobs of a scale: its partitions, accounts and limits."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from specseq.environment import without_leaks
from specseq.launch.settings import SlurmSettings
from specseq.settings import read
from specseq.studies.config import ALL
from specseq.studies.planning import FORECASTING, Planning
from specseq.studies.preflight.finding import Finding
from specseq.sweeps import Plan
from specseq.yaml_files import read_yaml

_SECONDS = 20
_REMEDY = "see sinfo for partitions and limits; set slurm and resources in config.yaml"
_STAGE_REMEDY = (
    "see sinfo; set default-resources in the profile, slurm.partition and resources in config.yaml"
)
# Refusals of names and options that the cluster does not know: no job that asks for them will ever run.
_UNKNOWN = re.compile(r"invalid (partition|account|qos)|unrecognized option", re.IGNORECASE)
_NO_CLUSTER = re.compile(r"configuration source|unable to contact|timed out", re.IGNORECASE)
_SILENT = "slurm"
# Settings that sbatch has no option for, or that decide nothing about whether a job is taken.
_LEFT_OUT = {
    *("time", "signal_delay_s", "setup", "teardown", "srun_args", "additional_parameters"),
    *("dependency", "comment", "mail_type", "mail_user"),
}


def profile_defaults(root: Path) -> dict[str, str]:
    """Resources that ``--profile slurm`` requests for stages beside their own."""
    path = root / "workflow/profiles/slurm/profile.yaml"
    given = (read_yaml(path) or {}).get("default-resources", {}) if path.is_file() else {}
    pairs = given.items() if isinstance(given, Mapping) else (str(word).split("=", 1) for word in given)
    return {str(key): str(value) for key, value in pairs}


def training_settings(plan: Plan, scale: str) -> dict[str, SlurmSettings]:
    """The settings of the training jobs, by study."""
    planning, given = Planning(plan), plan.config.content.get("slurm") or {}
    found: dict[str, SlurmSettings] = {}
    for run, params in plan.runs(scale).items():
        if "training" in params and params["study"] not in found:
            settings = planning.slurm(scale, run, given)
            found[params["study"]] = read(SlurmSettings, settings, "slurm")
    return found


def slurm_jobs(plan: Plan, scale: str, defaults: Mapping[str, str] | None) -> Iterator[Finding]:
    """Whether SLURM would take a training job of each study, and each kind of stage job."""
    if shutil.which("sbatch") is None:
        remedy = "log in to the cluster, or use launcher: local"
        yield Finding("sbatch", "there is none on this machine", remedy)
        return
    jobs = [
        _in_time(f"slurm ({study})", settings) or (f"slurm ({study})", _options(settings), _REMEDY)
        for study, settings in training_settings(plan, scale).items()
    ]
    if defaults is not None:
        jobs += [(check, options, _STAGE_REMEDY) for check, options in _stages(plan, scale, defaults)]
    refused: set[str] = set()
    for job in jobs:
        if isinstance(job, Finding):
            yield job
            continue
        check, options, remedy = job
        named = " ".join(
            option for option in options if option.startswith(("--partition", "--account", "--qos"))
        )
        if named in refused:
            continue
        found = _accepted(check, options, remedy)
        yield found
        if found.fatal:
            refused.add(named)
        if found.check == _SILENT:
            return


def _in_time(check: str, settings: SlurmSettings) -> Finding | None:
    if 60 * settings.minutes > settings.signal_delay_s:
        return None
    limit, delay = settings.minutes, settings.signal_delay_s
    fault = f"the time limit of {limit} min is not above signal_delay_s ({delay} s)"
    return Finding(check, fault, "raise the limit or lower the delay")


def _options(settings: SlurmSettings) -> list[str]:
    """A training job, as options of sbatch."""
    given = {key: value for key, value in settings.parameters().items() if key not in _LEFT_OUT}
    given |= dict(settings.additional_parameters or {})
    return [f"--time={settings.minutes}", *(_option(name, value) for name, value in given.items() if value)]


def _option(name: str, value: Any) -> str:
    word = f"--{name.replace('_', '-')}"
    return word if value is True else f"{word}={value}"


def _stages(plan: Plan, scale: str, defaults: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Each kind of stage job, named by its rules, as options of sbatch."""
    planning, own = Planning(plan), plan.config.content.get("slurm") or {}
    rules: dict[tuple[str, ...], list[str]] = {}
    for study, declared in plan.resources(scale).items():
        runs = plan.study_runs(scale, study) if study != ALL and study in plan.studies(scale) else {}
        for rule in declared if runs else ():
            if rule == "pretrain":
                continue
            of_runs = list(runs) if rule in FORECASTING else list(runs)[:1]
            for asked in dict.fromkeys(planning.resources(scale, rule, run) for run in of_runs):
                partition = own.get("partition") if asked.gpus else defaults.get("slurm_partition")
                options = {
                    "time": asked.minutes,
                    "partition": partition,
                    "account": defaults.get("slurm_account"),
                    "qos": defaults.get("slurm_qos") or defaults.get("qos"),
                    "mem": asked.mem_mb,
                    "cpus_per_task": asked.cpus,
                    "gpus": asked.gpus,
                }
                key = tuple(_option(name, value) for name, value in options.items() if value)
                rules.setdefault(key, []).append(rule)
    return [(f"slurm ({', '.join(dict.fromkeys(names))})", list(key)) for key, names in rules.items()]


def ask(*command: str) -> "subprocess.CompletedProcess[str] | None":
    """Answer of a SLURM command; None if there is none."""
    environment = without_leaks(os.environ)
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _accepted(check: str, options: list[str], remedy: str) -> Finding:
    done = ask("sbatch", "--test-only", *options, "--wrap=true")
    if done is None:
        return Finding(_SILENT, "sbatch does not answer", "look at: sinfo, scontrol ping")
    if done.returncode == 0:
        return Finding(check, note=" ".join(options))
    lines = [line for line in done.stderr.strip().splitlines() if "sbatch --help" not in line]
    last = (lines or ["no reason given"])[-1]
    reason = re.sub(r"^(allocation failure|sbatch(: (error|fatal))?): ", "", last)
    if _NO_CLUSTER.search(done.stderr):
        return Finding(_SILENT, reason, "look at: sinfo, scontrol ping")
    return Finding(check, f"{reason} ({' '.join(options)})", remedy, fatal=bool(_UNKNOWN.search(done.stderr)))
