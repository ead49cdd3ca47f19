# What training depends on, and where it runs.

# What each study trains on: name of the stage's input -> data set, a folder (with its manifest) or a file.
TRAINING_DATA = {
    "preconditioning": {"store": "data/lotsa"},
    "stu": {"store": "data/lotsa"},
    "zeta": {"spacings": "data/spacings/manifest.parquet"},
    "equilibrium": {"text": "data/text"},
}


def launcher(wildcards):
    """Arguments that say where training runs."""
    place = config["launcher"]
    if place == "auto":
        # A plan that is only looked at (`--detailed-summary`) has no executor.
        place = "slurm" if getattr(workflow.executor_plugin, "name", None) == "slurm" else "local"
    settings = f" --slurm {shlex.quote(json.dumps(config['slurm']))}" if place == "slurm" else ""
    return f"--cluster {place}{settings}"


def training_params(spec):
    """The parameters that decide a training run; what only judges it afterwards is not among them."""
    afterwards = {
        "preconditioning": {"evaluation", "baseline"},
        "stu": {"evaluation", "baseline", "measurement"},
        "zeta": {"evaluation"},
        "equilibrium": {"audit"},
    }
    return {key: value for key, value in spec.items() if key not in afterwards[spec["study"]]}


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


def stage_inputs(wildcards, input):
    """The same inputs as the stage takes them: ``name=path``, a folder for its manifest where it is one."""
    folders = {
        name for name, path in TRAINING_DATA[wildcards.run.split("/")[0]].items() if not Path(path).suffix
    }
    return shlex.join(
        f"{name}={os.path.dirname(path) if name in folders else path}" for name, path in input.items()
    )
