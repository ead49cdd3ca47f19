rule evaluate:
    input:
        weights=said(weights_of),
        data=said(evaluation_data),
        designed=said(matched_of),
    output:
        "results/{scale}/runs/{run}/{benchmark}.parquet",
    log:
        "logs/{scale}/evaluate/{run}/{benchmark}.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        code=source_digest("stages/evaluate.py", "models"),
        spec=said(lambda w: as_json(evaluation_params(w))),
        files=evaluation_options,
        data=evaluation_folder,
    message:
        "evaluate: {wildcards.run} on {wildcards.benchmark}"
    shell:
        "python -m specseq.stages.evaluate --params {params.spec:q} {params.files}"
        " --data {params.data:q} --out {output} > {log} 2>&1"
