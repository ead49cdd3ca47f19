EVALUATION_DATA = {
    "gift_eval": lambda scale: f"results/{scale}/data/gift_eval/manifest.json",
    "fev": lambda scale: f"results/{scale}/data/fev/manifest.json",
}


rule evaluate:
    input:
        weights=said(weights_of),
        data=lambda w: EVALUATION_DATA[w.benchmark](w.scale),
        code=code("benchmarks", "forecasters", "filters", "stages/evaluate.py"),
    output:
        "results/{scale}/runs/{run}/{benchmark}.parquet",
    log:
        "logs/{scale}/evaluate/{run}/{benchmark}.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        mem_mb=8000,
    params:
        spec=said(lambda w: as_json(evaluation_params(w))),
        weights=lambda w, input: (f"--weights {shlex.quote(str(input.weights))}" if input.weights else ""),
        data=evaluation_folder,
    message:
        "evaluate: {wildcards.run} on {wildcards.benchmark}"
    shell:
        "python -m specseq.stages.evaluate --params {params.spec:q} {params.weights} --data {params.data:q}"
        " --out {output} > {log} 2>&1"
