rule text:
    output:
        "results/{scale}/data/text/manifest.json",
    log:
        "logs/{scale}/data/text.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        code=source_digest("stages/text.py"),
        spec=said(lambda w: as_json(PLAN.data(w.scale)["text"])),
        out=lambda w, output: os.path.dirname(output[0]),
    message:
        "data: text"
    shell:
        "python -m specseq.stages.text --params {params.spec:q} --out {params.out} > {log} 2>&1"


rule audit:
    input:
        weights="results/{scale}/runs/{run}/weights.safetensors",
        text="results/{scale}/data/text/manifest.json",
    output:
        verdicts="results/{scale}/runs/{run}/audit.parquet",
        spectrum="results/{scale}/runs/{run}/spectrum.parquet",
        fingerprint="results/{scale}/runs/{run}/fingerprint.parquet",
    log:
        "logs/{scale}/audit/{run}.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        code=source_digest("stages/audit.py"),
        spec=said(lambda w: as_json(wanted(run_of(w), "audit", f"run {w.run}"))),
    message:
        "audit: {wildcards.run}"
    shell:
        "python -m specseq.stages.audit --checkpoint {input.weights} --text {input.text} --run {wildcards.run}"
        " --params {params.spec:q} --out {output.verdicts} --spectrum {output.spectrum}"
        " --fingerprint {output.fingerprint} > {log} 2>&1"


rule mechanisms:
    output:
        "results/{scale}/equilibrium_mechanisms.parquet",
    log:
        "logs/{scale}/equilibrium_mechanisms.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        code=source_digest("stages/mechanisms.py"),
        spec=said(
            lambda w: as_json(
                wanted(PLAN.studies(w.scale).get("equilibrium", {}), "mechanisms", "studies.equilibrium")
            )
        ),
    message:
        "mechanisms: solvers, estimators and diagnostics on blocks whose answers are known"
    shell:
        "python -m specseq.stages.mechanisms --params {params.spec:q} --out {output} > {log} 2>&1"
