rule design:
    output:
        "results/{scale}/filters.parquet",
    log:
        "logs/{scale}/design.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        code=source_digest("stages/design.py"),
        spec=lambda w: as_json(
            {
                "filters": {
                    name: spec for name, spec in PLAN.filters.items() if spec["family"] != "matched"
                }
            }
        ),
    message:
        "design: taps and diagnostics of every filter"
    shell:
        "python -m specseq.stages.design --params {params.spec:q} --out {output} > {log} 2>&1"


rule residuals:
    input:
        weights=said(weights_of),
        data=said(evaluation_data),
    output:
        "results/{scale}/runs/{run}/{benchmark}_residuals.parquet",
    log:
        "logs/{scale}/residuals/{run}/{benchmark}.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        code=source_digest("stages/residuals.py", "models"),
        spec=said(lambda w: as_json(residuals_params(w))),
        weights=weights_option,
        data=evaluation_folder,
    message:
        "residuals: {wildcards.run} before the test windows of {wildcards.benchmark}"
    shell:
        "python -m specseq.stages.residuals --params {params.spec:q} {params.weights} --data {params.data:q}"
        " --out {output} > {log} 2>&1"


rule design_matched:
    input:
        residuals="results/{scale}/runs/{run}/{benchmark}_residuals.parquet",
    output:
        "results/{scale}/runs/{run}/{benchmark}_matched.parquet",
    log:
        "logs/{scale}/matched/{run}/{benchmark}.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        code=source_digest("stages/design.py"),
        spec=said(lambda w: as_json({"filters": matched_filters(run_of(w), PLAN)})),
    message:
        "design: filters matched to the errors of {wildcards.run} on {wildcards.benchmark}"
    shell:
        "python -m specseq.stages.design --params {params.spec:q} --residuals {input.residuals} --out {output}"
        " > {log} 2>&1"
