import json
import shlex
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from specseq.errors import InputError
from specseq.sweeps import Plan

ROOT = Path(workflow.basedir)

try:
    PLAN = Plan(config, yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text()))
    PLAN.runs(config["scale"])
except InputError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    scale="|".join(PLAN.scales),
    study="|".join(config["studies"]),
    run="[^/]+/[^/]+/[^/]+",
    benchmark="gift_eval|fev",
    ext="svg|png|pdf",


def code(*names):
    """Source files that decide a result; editing one reruns what it decided."""
    found = []
    for name in names:
        path = ROOT / "src/specseq" / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [str(path.relative_to(ROOT)) for path in found]


def said(lookup):
    """Make an input or params function say what is wrong in one line, not in a traceback."""

    def wrapped(wildcards):
        try:
            return lookup(wildcards)
        except InputError as error:
            raise WorkflowError(str(error)) from None

    return wrapped


def as_json(value):
    return json.dumps(value, sort_keys=True)


def run_of(wildcards):
    return PLAN.run(wildcards.scale, wildcards.run)


def named_inputs(wildcards, input):
    """``--input name=files`` for every named input but the code."""
    groups = []
    for name, files in input.items():
        if name != "code":
            files = [files] if isinstance(files, str) else files
            groups.append("--input " + " ".join(shlex.quote(part) for part in [f"{name}={files[0]}", *files[1:]]))
    return " ".join(groups)
