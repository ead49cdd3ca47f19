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


rule measure:
    input:
        weights=said(lambda w: measured_weights(w.scale)),
        store="results/{scale}/data/lotsa/manifest.json",
    output:
        "results/{scale}/stu_measurements.parquet",
    log:
        "logs/{scale}/stu_measurements.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        mem_mb=8000,
    params:
        code=code("forecasters", "series", "stages/measure.py"),
        spec=said(lambda w: as_json(measurement_params(w.scale))),
        store=lambda w, input: os.path.dirname(input.store),
        weights=lambda w, input: named_inputs(w, {"weights": input.weights}),
    message:
        "measure: parameters, speed and leaks of the STU study's models"
    shell:
        "python -m specseq.stages.measure --params {params.spec:q} {params.weights} --store {params.store} --out {output}"
        " > {log} 2>&1"
