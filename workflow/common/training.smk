# What training depends on, and where it runs.


def training_place():
    """Where training runs: ``local`` or ``slurm``."""
    if config["launcher"] != "auto":
        return config["launcher"]
    # A plan that is only looked at (`--detailed-summary`) has no executor.
    return "slurm" if getattr(workflow.executor_plugin, "name", None) == "slurm" else "local"


def launcher(wildcards):
    """Arguments that say where training runs."""
    place = training_place()
    settings = f" --slurm {shlex.quote(json.dumps(config['slurm']))}" if place == "slurm" else ""
    return f"--cluster {place}{settings}"


def check_training_jobs():
    """Settings with which no job could be submitted are better known before the data are prepared."""
    if training_place() == "slurm":
        from specseq.launch.settings import SlurmSettings
        from specseq.settings import read

        try:
            read(SlurmSettings, config["slurm"], "slurm")
        except InputError as error:
            raise WorkflowError(f"config.yaml: {error}") from None


def builder(wildcards):
    """``module:function`` that builds the task of a run."""
    study = STUDIES[wildcards.run.split("/")[0]]
    return study.reference(study.build)


def training_params(wildcards):
    """The parameters of a run that decide its training."""
    return STUDIES[wildcards.run.split("/")[0]].training_params(run_of(wildcards))


def training_inputs(wildcards):
    """The files that must stand before a run trains: each data set's manifest, and weights to start from."""
    spec = run_of(wildcards)
    made = {
        name: ready(f"results/{wildcards.scale}/{path}")
        for name, path in STUDIES[spec["study"]].data.items()
    }
    initial = spec.get("initial", {}).get("run")
    if initial:
        PLAN.run(wildcards.scale, initial)
        made["initial"] = f"results/{wildcards.scale}/runs/{initial}/weights.safetensors"
    return made


def stage_inputs(wildcards, input):
    """The same inputs as the stage takes them: ``name=path``, a folder for its manifest where it is one."""
    data = STUDIES[wildcards.run.split("/")[0]].data
    folders = {name for name, path in data.items() if not Path(path).suffix}
    return shlex.join(
        f"{name}={os.path.dirname(path) if name in folders else path}" for name, path in input.items()
    )
