rule zeros:
    output:
        "results/{scale}/data/zeros.parquet",
    log:
        "logs/{scale}/data/zeros.log",
    conda:
        "../../envs/specseq.yaml"
    threads: 2
    params:
        code=source_digest("stages/zeros.py"),
        spec=said(lambda w: as_json(PLAN.data(w.scale)["zeros"])),
    message:
        "data: zeros of the zeta function"
    shell:
        "python -m specseq.stages.zeros --params {params.spec:q} --workers {threads} --out {output} > {log} 2>&1"


rule spacings:
    input:
        zeros="results/{scale}/data/zeros.parquet",
    output:
        "results/{scale}/data/spacings/manifest.parquet",
    log:
        "logs/{scale}/data/spacings.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        code=source_digest("stages/spacings.py"),
        spec=said(lambda w: as_json(PLAN.data(w.scale)["spacings"])),
        out=lambda w, output: os.path.dirname(output[0]),
    message:
        "data: spacing sets, real and controls"
    shell:
        "python -m specseq.stages.spacings --zeros {input.zeros} --params {params.spec:q} --out {params.out}"
        " > {log} 2>&1"
