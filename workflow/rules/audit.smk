rule text:
    output:
        "results/{scale}/data/text/manifest.json",
    log:
        "logs/{scale}/data/text.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        mem_mb=lambda w, attempt: 8000 * 2 ** (attempt - 1),
        runtime=lambda w, attempt: 120 * attempt,
    params:
        code=code("equilibrium/text", "stages/text.py"),
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
    resources:
        mem_mb=lambda w, attempt: 8000 * 2 ** (attempt - 1),
        runtime=lambda w, attempt: 120 * attempt,
    params:
        code=code("equilibrium", "spectra", "stages/audit.py"),
        spec=said(lambda w: as_json(run_of(w)["audit"])),
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
        code=code("equilibrium", "spectra", "stages/mechanisms.py"),
        spec=said(lambda w: as_json(PLAN.scale(w.scale)["values"]["ep_mechanisms"])),
    message:
        "mechanisms: solvers, estimators and diagnostics on blocks whose answers are known"
    shell:
        "python -m specseq.stages.mechanisms --params {params.spec:q} --out {output} > {log} 2>&1"
