# Inputs:  weights of a zeta run, the spacing sets
# Outputs: results/{scale}/runs/{run}/rollout.parquet, results/{scale}/zeta_references.parquet


rule rollout:
    input:
        weights="results/{scale}/runs/{run}/weights.safetensors",
        spacings="results/{scale}/data/spacings/manifest.parquet",
    output:
        out="results/{scale}/runs/{run}/rollout.parquet",
    log:
        "logs/{scale}/rollout/{run}.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("rollout"),
    params:
        **request(
            "rollout",
            lambda w: {"run": w.run, "params": PLAN.run(w.scale, w.run)},
            besides=lambda w, threads: {"parts": parts(w, "rollout")},
        ),
    message:
        "rollout: {wildcards.run}"
    shell:
        "python -m specseq.stages rollout --request {params.request} > {log} 2>&1"


rule references:
    input:
        spacings="results/{scale}/data/spacings/manifest.parquet",
    output:
        out="results/{scale}/zeta_references.parquet",
    log:
        "logs/{scale}/zeta_references.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("references"),
    params:
        **request("references", lambda w: {"references": PLAN.data(w.scale)["references"]}),
    message:
        "references: constant, Wigner and autoregressive predictors of spacings"
    shell:
        "python -m specseq.stages references --request {params.request} > {log} 2>&1"
