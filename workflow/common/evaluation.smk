# What an evaluation depends on.


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
        made["filters"] = {name: PLAN.filter(name) for name in chosen["filters"]}
    return made


def residuals_params(wildcards):
    """What decides a forecaster's residuals: all of its evaluation but the filters and their reversals."""
    kept = ("run", "benchmark", "study", "seed", "terms", "forecaster")
    return {key: value for key, value in evaluation_params(wildcards).items() if key in kept}


def matched_of(wildcards):
    """The table of a run's matched filters; nothing where it has none."""
    folder = f"results/{wildcards.scale}/runs/{wildcards.run}"
    return [f"{folder}/{wildcards.benchmark}_matched.parquet"] if matched_filters(run_of(wildcards), PLAN) else []


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


def evaluation_options(wildcards, input):
    designed = f" --designed {shlex.quote(str(input.designed))}" if input.designed else ""
    return f"{weights_option(wildcards, input)}{designed}"
