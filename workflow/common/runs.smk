# The result files of the runs of a study.


def benchmarks(scale):
    """The benchmarks that the data of this scale allow."""
    return ["gift_eval"] + (["fev"] if PLAN.data(scale)["fev"] else [])


def trained(scale, study):
    """The study's runs that train a model."""
    return [run for run, spec in PLAN.study_runs(scale, study).items() if "training" in spec]


def present(files):
    """These files; with ``partial: true`` in the config, those of them that exist."""
    return [path for path in files if os.path.exists(path)] if config["partial"] else files


def run_files(scale, study, *names):
    """Results of a study's runs."""
    runs = PLAN.study_runs(scale, study)
    found = [
        f"results/{scale}/runs/{run}/{name}.parquet"
        for run, spec in runs.items()
        for name in names
        if name != "pretrain" or "training" in spec
    ]
    return present(found)


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
    return present(found)


def audited_files(scale, name):
    """A file of each audit of the equilibrium study; only runs with a section ``audit`` are audited."""
    audited = [run for run, spec in PLAN.study_runs(scale, "equilibrium").items() if "audit" in spec]
    return present([f"results/{scale}/runs/{run}/{name}.parquet" for run in audited])


def measured_weights(scale):
    """Weights of the STU study's runs."""
    return present([f"results/{scale}/runs/{run}/weights.safetensors" for run in trained(scale, "stu")])


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


def baselines(scale, study):
    """Run without its seed -> what tables compare it with, where that is not the study's own baseline."""
    runs = PLAN.study_runs(scale, study)
    return {without_seed(run): spec["baseline"] for run, spec in runs.items() if "baseline" in spec}
