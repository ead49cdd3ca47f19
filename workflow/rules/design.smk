rule design:
    input:
        code=code("filters", "stages/design.py"),
    output:
        "results/{scale}/filters.parquet",
    log:
        "logs/{scale}/design.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        spec=lambda w: as_json({"filters": config["filters"]}),
    message:
        "design: taps and diagnostics of every filter"
    shell:
        "python -m specseq.stages.design --params {params.spec:q} --out {output} > {log} 2>&1"
