import functools
import hashlib
import json
import os
import re
import shlex
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from specseq.errors import InputError
from specseq.sweeps import Plan

ROOT = Path(workflow.basedir)

# Rules call `python`: the one that runs snakemake, also where its environment is not activated. With --sdm conda
# it is the environment's own.
if not workflow.deployment_settings.deployment_method:
    shell.prefix(f"export PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH; ")

try:
    PLAN = Plan(
        config,
        yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text()),
    )
    PLAN.runs(config["scale"])
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


class Launcher:
    """Arguments that say where training runs.

    No part of what a run computes, so a resource and no parameter of its rule; known when the job starts, not
    before.
    """

    def __str__(self):
        place = config["launcher"]
        if place == "auto":
            place = "slurm" if workflow.executor_plugin.name == "slurm" else "local"
        settings = f" --slurm {shlex.quote(json.dumps(config['slurm']))}" if place == "slurm" else ""
        return f"--cluster {place}{settings}"


LAUNCHER = Launcher()


wildcard_constraints:
    scale="|".join(PLAN.scales),
    study="|".join(config["studies"]),
    run="[^/]+/[^/]+/[^/]+",
    benchmark="gift_eval|fev",
    ext="svg|png|pdf",


@functools.cache
def code(*names):
    """A digest of the source files that decide a result: a parameter, so that editing one reruns what it decided.

    As inputs, the files of every job would make a plan of thousands of runs many times slower.
    """
    digest = hashlib.sha256()
    for name in names:
        path = ROOT / "src/specseq" / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(b"\0".join([str(file.relative_to(ROOT)).encode(), file.read_bytes()]))
    return digest.hexdigest()[:16]


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


# Linux takes arguments of at most 128 KiB, and a rule's shell command is one; some 1,500 files fill it.
LONGEST = 2**15


def named_inputs(wildcards, input):
    """``--input name=files`` for every named input; long lists go through a file."""
    groups = []
    for name, files in input.items():
        files = [files] if isinstance(files, str) else [str(path) for path in files]
        if sum(map(len, files)) > LONGEST:
            files = [f"@{listed(wildcards.scale, files)}"]
        groups.append(shlex.join(["--input", f"{name}={''.join(files[:1])}", *files[1:]]))
    return " ".join(groups)


def listed(scale, files):
    """A file that names these files, one a line; its own name follows from what it holds."""
    text = "\n".join(files)
    path = Path(f"results/{scale}/lists/{hashlib.sha256(text.encode()).hexdigest()[:16]}.txt")
    if not workflow.dryrun and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(text)
        part.replace(path)
    return path


def training_params(spec):
    """The parameters that decide a training run; what only judges it afterwards is not among them."""
    afterwards = {
        "preconditioning": {"evaluation", "baseline"},
        "stu": {"evaluation", "baseline", "measurement"},
        "zeta": {"evaluation"},
        "equilibrium": {"audit"},
    }
    return {key: value for key, value in spec.items() if key not in afterwards[spec["study"]]}


def trained(scale, study):
    """The study's runs that train a model."""
    return [run for run, spec in PLAN.study_runs(scale, study).items() if "training" in spec]


def run_files(scale, study, *names):
    """Results of a study's runs; with ``partial: true`` in the config, those that exist."""
    runs = PLAN.study_runs(scale, study)
    found = [
        f"results/{scale}/runs/{run}/{name}.parquet"
        for run, spec in runs.items()
        for name in names
        if name != "pretrain" or "training" in spec
    ]
    return [path for path in found if os.path.exists(path)] if config["partial"] else found


def evaluations(scale, study):
    """The evaluations of a study's runs on the benchmarks at hand."""
    return run_files(scale, study, *benchmarks(scale))


def matched_runs(scale, study):
    """The study's runs with filters that are designed for a forecaster's residuals."""
    return [run for run, spec in PLAN.study_runs(scale, study).items() if matched_filters(spec)]


def matched_files(scale, study, what):
    """``residuals`` or ``matched`` of the runs that have them, on the benchmarks at hand."""
    found = [
        f"results/{scale}/runs/{run}/{benchmark}_{what}.parquet"
        for run in matched_runs(scale, study)
        for benchmark in benchmarks(scale)
    ]
    return [path for path in found if os.path.exists(path)] if config["partial"] else found


def baselines(scale, study):
    """Run without its seed -> what tables compare it with, where that is not the study's own baseline."""
    runs = PLAN.study_runs(scale, study)
    return {
        re.sub(r"[_/]seed\d+$", "", run): spec["baseline"] for run, spec in runs.items() if "baseline" in spec
    }


def declared(registry):
    """The tables or figures of the studies that are declared; each is named after its study."""
    return [name for name in registry if name.split("_")[0] in config["studies"]]


def benchmarks(scale):
    """The benchmarks that the data of this scale allow."""
    return ["gift_eval"] + (["fev"] if PLAN.data(scale)["fev"] else [])


def embedded_params(scale):
    data = PLAN.data(scale)
    return {"seed": data["seed"], "embedded": data["embedded"]}


def corpus_params(scale):
    data = PLAN.data(scale)
    return {
        **embedded_params(scale),
        "min_length": data["min_length"],
        "exclude": data["exclude"],
    }


def evaluation_params(wildcards):
    spec = run_of(wildcards)
    chosen = spec.get("evaluation", {})
    made = {
        "run": wildcards.run,
        "benchmark": wildcards.benchmark,
        "study": spec["study"],
        **chosen,
    }
    made["seed"] = spec.get("seed", -1)
    if "forecaster" in spec:
        made["forecaster"] = {key: value for key, value in spec["forecaster"].items() if key != "run"}
    if "filters" in chosen:
        made["filters"] = {name: filter_of(name) for name in chosen["filters"]}
    return made


def residuals_params(wildcards):
    """What decides a forecaster's residuals: all of its evaluation but the filters and their reversals."""
    kept = ("run", "benchmark", "study", "seed", "terms", "forecaster")
    return {key: value for key, value in evaluation_params(wildcards).items() if key in kept}


def matched_filters(run):
    """The filters of a run that are designed for its forecaster's residuals."""
    names = run.get("evaluation", {}).get("filters", ())
    return {name: filter_of(name) for name in names if filter_of(name)["family"] == "matched"}


def matched_of(wildcards):
    """The table of a run's matched filters; nothing where it has none."""
    folder = f"results/{wildcards.scale}/runs/{wildcards.run}"
    return [f"{folder}/{wildcards.benchmark}_matched.parquet"] if matched_filters(run_of(wildcards)) else []


def evaluation_data(wildcards):
    """What must stand before an evaluation: GIFT-Eval's manifest; FEV-Bench's folder as it is."""
    if wildcards.benchmark == "gift_eval":
        return f"results/{wildcards.scale}/data/gift_eval/manifest.json"
    source = PLAN.data(wildcards.scale)["fev"]
    if not source:
        raise InputError(
            "config.yaml: data.fev",
            "no folder of FEV-Bench tasks is given",
            "python -m specseq.stages.download_fev --out DIR, then --config 'data={fev: DIR}'",
        )
    return source


def evaluation_folder(wildcards):
    """The benchmark's own folder, or the embedded sets."""
    source = PLAN.data(wildcards.scale)[wildcards.benchmark]
    return f"results/{wildcards.scale}/data/{wildcards.benchmark}/sets" if source == "embedded" else source


def filter_of(name):
    if name not in config["filters"]:
        raise InputError(
            "config.yaml: filters",
            f"no filter is called '{name}'",
            f"known: {', '.join(config['filters'])}",
        )
    return config["filters"][name]


# The library a training run depends on, besides what its study adds.
TRAINING_CODE = {
    "preconditioning": [
        "training",
        "forecasters",
        "filters",
        "series",
        "launch/pretraining.py",
    ],
    "stu": ["training", "forecasters", "series", "launch/pretraining.py"],
    "equilibrium": ["training", "equilibrium", "spectra", "launch/pretraining.py"],
    "zeta": ["training", "zeta", "launch/pretraining.py"],
}


def training_code(spec):
    return code(*TRAINING_CODE[spec["study"]])


def evidence(scale):
    """Every result that claims and page read: the tables, and what they are made from."""
    return expand("results/{scale}/tables/{table}.parquet", scale=scale, table=declared(TABLES))


def shown_figures(scale):
    return expand("results/{scale}/figures/{figure}.svg", scale=scale, figure=declared(FIGURES))


def folder_of(source):
    """A data folder given in the config, as an input; nothing for embedded data."""
    return [] if source == "embedded" else [source]


def training_inputs(wildcards):
    """The files that must stand before a run trains: each data set's manifest, and weights to start from."""
    spec = run_of(wildcards)
    made = {
        name: ready(f"results/{wildcards.scale}/{path}")
        for name, path in TRAINING_DATA[spec["study"]].items()
    }
    initial = spec.get("initial", {}).get("run")
    if initial:
        PLAN.run(wildcards.scale, initial)
        made["initial"] = f"results/{wildcards.scale}/runs/{initial}/weights.safetensors"
    return made


def ready(path):
    """The file that says that a data set is whole: of a folder, the manifest, which is written last."""
    return path if Path(path).suffix else f"{path}/manifest.json"


def stage_inputs(wildcards, input):
    """The same inputs as the stage takes them: ``name=path``, a folder for its manifest where it is one."""
    folders = {
        name for name, path in TRAINING_DATA[wildcards.run.split("/")[0]].items() if not Path(path).suffix
    }
    return shlex.join(
        f"{name}={os.path.dirname(path) if name in folders else path}" for name, path in input.items()
    )


def weights_of(wildcards):
    """The weights that forecast: a trained run's own, or of the run it names; nothing for any other forecaster."""
    spec = run_of(wildcards)
    run = wildcards.run if "training" in spec else spec.get("forecaster", {}).get("run")
    if not run:
        return []
    PLAN.run(wildcards.scale, run)
    return [f"results/{wildcards.scale}/runs/{run}/weights.safetensors"]


def weights_option(wildcards, input):
    return f"--weights {shlex.quote(str(input.weights))}" if input.weights else ""


def measured_weights(scale):
    """Weights of the STU study's runs; with ``partial: true`` in the config, those that exist."""
    found = [f"results/{scale}/runs/{run}/weights.safetensors" for run in trained(scale, "stu")]
    return [path for path in found if os.path.exists(path)] if config["partial"] else found


def measurement_params(scale):
    """The sizes of the measurement; runs that are measured side by side share them."""
    sizes = {run: spec["measurement"] for run, spec in PLAN.study_runs(scale, "stu").items()}
    first, *others = sizes.items()
    for run, other in others:
        if other != first[1]:
            raise InputError(
                f"config.yaml: run {run}: measurement",
                f"is not that of {first[0]}, beside which it is measured",
                "set it in studies.stu.base",
            )
    return first[1]


def audited_files(scale, name):
    """A file of each audit of the equilibrium study; only runs with a section ``audit`` are audited."""
    audited = [run for run, spec in PLAN.study_runs(scale, "equilibrium").items() if "audit" in spec]
    found = [f"results/{scale}/runs/{run}/{name}.parquet" for run in audited]
    return [path for path in found if os.path.exists(path)] if config["partial"] else found


# Those that count what the training corpus shares with the benchmark.
WITH_LEAKAGE = ("preconditioning", "stu")


def table_code(name):
    shared = f"report/tables/{name.split('_')[0]}_shared.py"
    leakage = ["report/tables/leakage.py", "series/overlap.py"] if name in WITH_LEAKAGE else []
    return [
        f"report/tables/{name}.py",
        *([shared] if (ROOT / "src/specseq" / shared).exists() else []),
        *leakage,
    ]


def figure_code(name):
    shared = f"report/figures/{name.split('_')[0]}.py"
    return [f"report/figures/{name}.py", *([shared] if (ROOT / "src/specseq" / shared).exists() else [])]
