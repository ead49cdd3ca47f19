# The runs that config.yaml declares, and what every rule asks of them.

import hashlib
import inspect
import json
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from specseq.errors import InputError
from specseq.launch.training import training_code
from specseq.sources import module_file, source_digest
from specseq.studies import studies
from specseq.studies.forecasting import matched_filters
from specseq.studies.interface import Results
from specseq.sweeps import Plan, read_yaml

ROOT = Path(workflow.basedir)

# Rules call `python`: the one that runs snakemake, also where its environment is not activated. With --sdm conda
# it is the environment's own.
if not workflow.deployment_settings.deployment_method:
    shell.prefix(f"export PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH; ")

try:
    PLAN = Plan(config, read_yaml(ROOT / "workflow/schemas/config.schema.yaml"), ROOT)
    PLAN.runs(config["scale"])
    STUDIES = {name: study for name, study in studies().items() if name in PLAN.study_names}
except InputError as error:
    raise WorkflowError(str(error)) from None


# Training submits its own jobs and waits for them; the others cost less than a job would.
localrules:
    all,
    pretrain,
    table,
    figure,
    claims,
    report_page,


# The executor sends an array in one command of at most 128 KiB. Where that is too long, at some 90 of our jobs, its
# version 2.8.0 writes a script instead that runs the first job in every task and fails all of them.
LARGEST_ARRAY = 50


def check_arrays(settings):
    if getattr(settings, "array_jobs", None) and int(settings.array_limit) > LARGEST_ARRAY:
        raise WorkflowError(
            f"slurm-array-limit: {settings.array_limit} is more than the executor gets into one command"
            f" - set it to {LARGEST_ARRAY} or less"
        )


# Snakemake's limit of jobs a second wakes the scheduler for ever, once a second for each job that has ended:
# hundreds of jobs cost a tenth of a core, thousands a whole one. `jobs` in the profile limits what is submitted.
onstart:
    check_arrays(workflow.executor_settings)
    workflow.scheduler.job_rate_limiter = None
    check_training_jobs()


wildcard_constraints:
    scale="|".join(PLAN.scales),
    study="|".join(PLAN.study_names),
    run="[^/]+/[^/]+/[^/]+",
    benchmark="gift_eval|fev",
    ext="svg|png|pdf",


def run_of(wildcards):
    return PLAN.run(wildcards.scale, wildcards.run)


def said(lookup):
    """Make an input or params function say what is wrong in one line, not in a traceback.

    Snakemake looks its signature up twice a job, which is a tenth of a plan of thousands; so it is kept.
    """

    def wrapped(wildcards):
        try:
            return lookup(wildcards)
        except InputError as error:
            raise WorkflowError(str(error)) from None

    wrapped.__signature__ = inspect.signature(wrapped)
    return wrapped


def wanted(mapping, key, place):
    """A part of the config that this result needs and the schema does not demand."""
    if key not in mapping:
        raise InputError(
            f"config.yaml: {place}", f"has no section '{key}'", "add it, or ask for another result"
        )
    return mapping[key]


def as_json(value):
    return json.dumps(value, sort_keys=True)

