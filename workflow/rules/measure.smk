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
    params:
        code=source_digest("stages/measure.py", "models"),
        spec=said(lambda w: as_json(measurement_params(w.scale))),
        store=lambda w, input: os.path.dirname(input.store),
        weights=lambda w, input: named_inputs(w, {"weights": input.weights}),
    message:
        "measure: parameters, speed and leaks of the STU study's models"
    shell:
        "python -m specseq.stages.measure --params {params.spec:q} {params.weights} --store {params.store} --out {output}"
        " > {log} 2>&1"
