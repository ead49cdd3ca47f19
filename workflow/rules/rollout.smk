rule references:
    input:
        spacings="results/{scale}/data/spacings/manifest.parquet",
    output:
        "results/{scale}/zeta_references.parquet",
    log:
        "logs/{scale}/zeta_references.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        code=source_digest("stages/references.py"),
        spec=said(lambda w: as_json(PLAN.data(w.scale)["references"])),
    message:
        "references: constant, Wigner and autoregressive predictors of spacings"
    shell:
        "python -m specseq.stages.references --spacings {input.spacings} --params {params.spec:q} --out {output}"
        " > {log} 2>&1"


rule rollout:
    input:
        weights="results/{scale}/runs/{run}/weights.safetensors",
        spacings="results/{scale}/data/spacings/manifest.parquet",
    output:
        "results/{scale}/runs/{run}/rollout.parquet",
    log:
        "logs/{scale}/rollout/{run}.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        code=source_digest("stages/rollout.py"),
        spec=said(lambda w: as_json(run_of(w))),
    message:
        "rollout: {wildcards.run}"
    shell:
        "python -m specseq.stages.rollout --weights {input.weights} --spacings {input.spacings}"
        " --run {wildcards.run} --params {params.spec:q} --out {output} > {log} 2>&1"
