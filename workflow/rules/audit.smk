# Inputs:  weights of an equilibrium run, the prepared text
# Outputs: results/{scale}/runs/{run}/audit.parquet, spectrum.parquet, fingerprint.parquet
#          results/{scale}/equilibrium_mechanisms.parquet


rule audit:
    input:
        checkpoint="results/{scale}/runs/{run}/weights.safetensors",
        text="results/{scale}/data/text/manifest.json",
    output:
        verdicts="results/{scale}/runs/{run}/audit.parquet",
        spectrum="results/{scale}/runs/{run}/spectrum.parquet",
        fingerprint="results/{scale}/runs/{run}/fingerprint.parquet",
    log:
        "logs/{scale}/audit/{run}.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("audit"),
    params:
        **request(
            "audit",
            lambda w: PLANNING.audit(w.scale, w.run),
            besides=lambda w, threads: {"parts": parts(w, "audit")},
        ),
    message:
        "audit: {wildcards.run}"
    shell:
        "python -m specseq.stages audit --request {params.request} > {log} 2>&1"


rule mechanisms:
    output:
        out="results/{scale}/equilibrium_mechanisms.parquet",
    log:
        "logs/{scale}/equilibrium_mechanisms.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("mechanisms"),
    params:
        **request(
            "mechanisms",
            lambda w: PLANNING.mechanisms(w.scale),
            besides=lambda w, threads: {"parts": parts(w, "mechanisms")},
        ),
    message:
        "mechanisms: solvers, estimators and diagnostics on blocks whose answers are known"
    shell:
        "python -m specseq.stages mechanisms --request {params.request} > {log} 2>&1"
