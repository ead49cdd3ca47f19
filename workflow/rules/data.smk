rule prepare_lotsa:
    input:
        source=lambda w: folder_of(PLAN.data(w.scale)["lotsa"]),
    output:
        "results/{scale}/data/lotsa/manifest.json",
    log:
        "logs/{scale}/data/lotsa.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        code=source_digest("stages/prepare_lotsa.py"),
        source=lambda w: PLAN.data(w.scale)["lotsa"],
        out=lambda w, output: os.path.dirname(output[0]),
        spec=said(lambda w: as_json(corpus_params(w.scale))),
    message:
        "data: training series ({params.source})"
    shell:
        "python -m specseq.stages.prepare_lotsa --source {params.source:q} --params {params.spec:q}"
        " --out {params.out} > {log} 2>&1"


rule prepare_gift_eval:
    input:
        source=lambda w: folder_of(PLAN.data(w.scale)["gift_eval"]),
    output:
        "results/{scale}/data/gift_eval/manifest.json",
    log:
        "logs/{scale}/data/gift_eval.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        code=source_digest("stages/prepare_gift_eval.py"),
        source=lambda w: PLAN.data(w.scale)["gift_eval"],
        out=lambda w, output: os.path.dirname(output[0]),
        spec=said(lambda w: as_json(embedded_params(w.scale))),
    message:
        "data: GIFT-Eval sets ({params.source})"
    shell:
        "python -m specseq.stages.prepare_gift_eval --source {params.source:q} --params {params.spec:q}"
        " --out {params.out} > {log} 2>&1"
