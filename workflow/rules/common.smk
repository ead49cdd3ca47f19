# What all rules share: the plan, its checks, and what happens when the workflow starts and when it fails.

import argparse
import contextlib
import functools
import gc
import inspect
import io
import logging
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from snakemake.cli import parse_args
from snakemake.common import overwrite_function_params
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

if sys.platform == "win32":
    raise WorkflowError("Windows is not supported: use Linux or macOS, or the Windows Subsystem for Linux")

# The code of this checkout plans and runs, whichever checkout the environment was made from.
SOURCE = os.path.join(workflow.basedir, "src")
sys.path.insert(0, SOURCE)

from specseq.environment import leaked, lock_warnings, search_first
from specseq.errors import InputError, check_space, machine_fault
from specseq.launch import preloaded, slurm
from specseq.settings import near
from specseq.studies import products, studies
from specseq.studies.config import make_plan, read_settings, with_scale
from specseq.studies.lost import LostJob, forget_lost, last_line, save_lost
from specseq.studies.planning import Planning
from specseq.studies.rehearsal import REHEARSAL, rehearsal_params, rehearsal_results
from specseq.studies.reports import check_reports, page_captions
from specseq.studies.targets import check_target
from specseq.sweeps import read_config

ROOT = Path(workflow.basedir)
search_first(SOURCE)

# A plan is millions of objects that stay. Python would look for garbage among them after every 700 new ones, a sixth
# of the time to plan thousands of jobs.
gc.set_threshold(20_000)

# Inside a SLURM job, such variables belong to the job.
if workflow.is_main_process and (names := leaked(os.environ)):
    logger.warning(f"Not read from the environment: {', '.join(names)} (see docs/slurm.md).")
    for name in names:
        del os.environ[name]

# Rules call `python`: the one that runs snakemake, also where its environment is not activated. With --sdm conda
# it is the environment's own. Snakemake takes PYTHONPATH from the environment of --sdm conda.
SEARCHED = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))
PREFIX = f"export PYTHONPATH={shlex.quote(SEARCHED)}; "
if not workflow.deployment_settings.deployment_method:
    PREFIX += f"export PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH; "
shell.prefix(PREFIX)


@functools.cache
def command_line():
    """The options that Snakemake was called with, including those of its profile."""
    if not workflow.is_main_process or Path(sys.argv[0]).stem not in ("snakemake", "__main__"):
        return argparse.Namespace(executor=None, report=None, targets=[])
    with contextlib.redirect_stderr(io.StringIO()):
        return parse_args(sys.argv[1:])[1]


try:
    if workflow.is_main_process and not workflow.dryrun:
        check_space(Path(".snakemake"), Path("logs"), Path("results"))
    # Snakemake itself takes every value in a mapping of --config for a text, and accepts duplicate keys.
    CONFIG = with_scale(
        read_config(
            Path("config.yaml"), workflow.overwrite_configfiles, workflow.config_settings.config_args or []
        ),
        slurm=command_line().executor == "slurm",
    )
    SETTINGS = read_settings(CONFIG)
    PLAN = make_plan(CONFIG, ROOT)
    PLAN.runs(SETTINGS.scale)
    PLAN.data(SETTINGS.scale)
    PLAN.resources(SETTINGS.scale)
    PLAN.filters
    PLANNING = Planning(PLAN, SETTINGS.partial)
    PLANNING.sources.check(SETTINGS.scale)
    CAPTIONS = page_captions(ROOT / "workflow/studies") if command_line().report else {}
except InputError as error:
    raise WorkflowError(str(error)) from None

# Captions of Snakemake's own report (`snakemake --report`) are templates that see the config and nothing else.
config["scale"] = SETTINGS.scale
config["captions"] = CAPTIONS


# Training submits its own jobs and waits for them; nodes have no network; the other rules cost less than a job.
localrules:
    all,
    download,
    pretrain,
    table,
    figure,
    claims,
    rehearsal,
    report_page,


wildcard_constraints:
    scale="|".join(PLAN.scales),
    run="[^/]+/[^/]+/[^/]+",
    benchmark="gift_eval|fev",
    ext="svg|png|pdf",


# The executor sends an array in one command of at most 128 KiB. Where that is too long, at some 90 of our jobs, its
# version 2.8.0 writes a script instead that runs the first job in every task and fails all of them.
LARGEST_ARRAY = 50


def check_arrays(settings):
    if getattr(settings, "array_jobs", None) and int(settings.array_limit) > LARGEST_ARRAY:
        raise WorkflowError(
            f"slurm-array-limit: {settings.array_limit} is more than the executor gets into one command"
            f" - set it to {LARGEST_ARRAY} or less"
        )


# Snakemake's limit of jobs per second keeps waking the scheduler, once a second for each job that has ended:
# hundreds of jobs cost a tenth of a core, thousands a whole one. `jobs` in the profile limits what is submitted.
onstart:
    check_arrays(workflow.executor_settings)
    if not PLANNING.partial:
        forget_lost(reported_scales())
    workflow.scheduler.job_rate_limiter = None
    if getattr(workflow.executor_plugin, "name", None) == "local":
        preload()
    check_machine()
    for warning in lock_warnings(
        ROOT / "envs/requirements.lock", Path(f"results/{SETTINGS.scale}/requirements.lock")
    ):
        logger.warning(warning)


def check_machine():
    """Say what would stop the scale, and refuse to begin where SLURM would take none of its jobs.

    Stages are looked at where they run on SLURM, too, which is with its executor.
    """
    from specseq.studies.preflight import preflight

    if not workflow.is_main_process or PLANNING.partial:
        return
    slurm = training_place() == "slurm"
    defaults = default_resources() if command_line().executor == "slurm" else None
    for found in preflight(PLAN, SETTINGS.scale, ROOT, slurm, defaults):
        line = f"{found.check}: {found.fault} - {found.remedy}"
        if found.fatal:
            raise WorkflowError(line)
        if found.fault:
            logger.warning(f"preflight: {line}")


# The rules that make tables, claims and page; none of them needs a cluster.
REPORTING, MOST_REPORTING = ["table", "figure", "claims", "report_page", "rehearsal"], 8
# What these rules make, by the names of targets.
REPORTED = {"tables", "figures", "claims", "report", "rehearsal"}


def reports(scale):
    """What a whole call makes of a scale: its page; for a rehearsal, also what each run costs."""
    costs = [f"results/{scale}/rehearsal.parquet"] if scale == REHEARSAL else []
    return [f"results/{scale}/report/index.html", *costs]


def reported_scales():
    """The scales whose tables, figures, claims or page this call is to make."""
    places = [Path(target).parts for target in targets() or [f"results/{SETTINGS.scale}/report"]]
    named = [
        parts[1]
        for parts in places
        if len(parts) > 2 and parts[0] == "results" and Path(parts[2]).stem in REPORTED
    ]
    return [
        scale for scale in PLAN.scales if scale in named or "all" in targets() and scale == SETTINGS.scale
    ]


class FailureMessages(logging.Handler):
    """Reads in Snakemake's messages which SLURM job a failed stage was, or why it became none."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.slurm_jobs, self.reasons = {}, {}

    def emit(self, record):
        for error in getattr(record, "job_error_info", None) or [vars(record)]:
            if number := (error.get("aux") or {}).get("external_jobid"):
                self.slurm_jobs[error["jobid"]] = number
            elif message := error.get("rule_msg"):
                self.reasons[error["jobid"]] = " ".join(message.partition("For further error")[0].split())


STARTED, FAILURES = time.time(), FailureMessages()
logger.addHandler(FAILURES)


def lost_jobs(scale):
    """The jobs of a scale that were lost: those that failed, and those that waited for them."""
    failed = workflow.scheduler.failed
    groups = {job: group for group in failed for job in (group if group.is_group() else [group])}
    for job in workflow.dag.needrun_jobs():
        of = job.wildcards_dict
        if of.get("scale") == scale and job.output:
            name = of.get("run") or of.get("table") or of.get("figure") or ""
            if "benchmark" in of:
                name = f"{name}/{of['benchmark']}"
            group = groups.get(job)
            # Reports are made from the results that exist, unless their own job failed.
            if job.rule.name in REPORTING and not group:
                continue
            reason, log = why(job, group) if group else ("", "")
            yield LostJob(job.rule.name, name, tuple(map(str, job.output)), bool(group), reason, log)


def why(job, group):
    """Why a job failed, by itself or in a group, and its log, which cannot say that SLURM ended it."""
    reason, log = last_line([str(log) for log in job.log], STARTED)
    jobid = workflow.dag.jobid(job)
    number = FAILURES.slurm_jobs.get(jobid)
    state = slurm.ending(number) if number else ""
    said = [
        f"one of a group of {len(group)} jobs failed" if len(group) > 1 else "",
        f"SLURM says {state}" if state not in ("", "FAILED") else "",
        reason or FAILURES.reasons.get(jobid, ""),
    ]
    return "; ".join(filter(None, said)), log


def report_without(scale):
    """If jobs were lost, make tables, claims and page from what exists, in a separate call that runs no stage."""
    config = [*(workflow.config_settings.config_args or []), f"scale={scale}", "partial=true"]
    files = [str(path) for path in workflow.overwrite_configfiles]
    cores = min(workflow.resource_settings.cores or 1, os.cpu_count() or 1, MOST_REPORTING)
    command = [sys.executable, "-m", "snakemake", "--snakefile", workflow.main_snakefile, "--nolock"]
    command += ["--cores", str(cores), "--allowed-rules", *REPORTING]
    command += ["--configfile", *files] if files else []
    command += ["--config", *config, "--", *reports(scale)]
    environment = {key: value for key, value in os.environ.items() if key != "SNAKEMAKE_PROFILE"}
    subprocess.run(command, env=environment)


onerror:
    # A user who stops the workflow wants nothing more to run.
    if workflow.scheduler._user_kill is None:
        for scale in reported_scales():
            if save_lost(scale, lost_jobs(scale)):
                logger.info(f"Making tables, claims and page of {scale} from the results that are there.")
                report_without(scale)


def preload():
    """Start the process whose forks do the work of stages that have one thread and the environment of snakemake."""
    if workflow.deployment_settings.deployment_method:
        return
    builds = {study.reference(study.build).partition(":")[0] for study in studies().values()}
    environment = {**dict.fromkeys(preloaded.DECISIVE, "1"), "PYTHONPATH": SEARCHED}
    address = preloaded.start(Path("logs/preloaded.log"), environment, [*preloaded.MODULES, *sorted(builds)])
    if address:
        os.environ[preloaded.ADDRESS] = address


def one_line(lookup):
    """Make a rule's function report what is wrong in one line, not in a traceback.

    Snakemake looks its parameters up several times per job, a tenth of the time to plan thousands; so they are kept.
    """

    def wrapped(*arguments, **named):
        try:
            return lookup(*arguments, **named)
        except InputError as error:
            raise WorkflowError(str(error)) from None
        except OSError as error:
            raise WorkflowError(str(machine_fault(error))) from None

    overwrite_function_params(wrapped, inspect.signature(lookup).parameters)
    return wrapped


def targets():
    """The targets on the command line, which Snakemake does not expose before it looks for rules for them."""
    return command_line().targets or []


# Targets whose rules read the claims and the page of every study.
READ_LAST = {"all", "claims", "report_page", "index"}


@one_line
def check_targets():
    """Refuse what no rule can make, and faults in files that are read last, before anything else is made."""
    if workflow.is_main_process and READ_LAST.intersection(Path(name).stem for name in targets() or ["all"]):
        check_reports(Path("workflow/studies"))
    many = [rule.name for rule in workflow.rules if rule.has_wildcards()]
    for target in targets():
        check_target(PLAN, target, many)
        if workflow.is_rule(target) or os.path.exists(target):
            continue
        if not any(known.is_producer(os.path.normpath(target)) for known in workflow.rules):
            raise InputError(target, "no rule makes it", near(target, single_results(target)))


def single_results(target):
    """What a mistyped target may have meant: names of rules, or files at its scale except results of runs."""
    if "/" not in target:
        return [rule.name for rule in workflow.rules]
    scale = next((scale for scale in PLAN.scales if scale in Path(target).parts), SETTINGS.scale)
    outputs = [
        file for rule in workflow.rules for file in rule.output if {"scale"} >= {*file.get_wildcard_names()}
    ]
    return [re.sub(r"\{scale[^}]*\}", scale, file) for file in outputs]


def training_place():
    """Where training runs: ``local`` or ``slurm``."""
    if SETTINGS.launcher != "auto":
        return SETTINGS.launcher
    return "slurm" if command_line().executor == "slurm" else "local"
