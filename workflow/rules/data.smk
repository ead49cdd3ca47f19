# Inputs:  the hub, folders that the config names, or nothing: data are embedded, computed or read from Python's library
# Outputs: results/{scale}/data/{lotsa,gift_eval,text}/manifest.json, data/zeros.parquet, data/spacings/manifest.parquet
#          results/{scale}/data/leakage_{benchmark}.parquet
#          downloads/{source}/download.json, where `data` says hub


rule download:
    output:
        record="downloads/{source}/download.json",
    log:
        "logs/downloads/{source}.log",
    wildcard_constraints:
        source="lotsa|gift_eval|fev|text|chronos2",
    conda:
        "../../envs/specseq.yaml"
    params:
        **request("download", lambda w: PLANNING.download(w.source)),
    message:
        "download: {wildcards.source} into downloads/{wildcards.source}"
    shell:
        "python -m specseq.stages download --request {params.request} > {log} 2>&1"


rule prepare_lotsa:
    input:
        source=one_line(lambda w: PLANNING.sources.needed(w.scale, "lotsa")),
    output:
        manifest="results/{scale}/data/lotsa/manifest.json",
    log:
        "logs/{scale}/data/lotsa.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("prepare_lotsa"),
    params:
        **request(
            "prepare_lotsa",
            lambda w: PLANNING.corpus(w.scale),
            outside=lambda w: PLANNING.sources.own(w.scale, "lotsa"),
        ),
    message:
        "data: training series"
    shell:
        "python -m specseq.stages prepare_lotsa --request {params.request} > {log} 2>&1"


rule prepare_gift_eval:
    input:
        source=one_line(lambda w: PLANNING.sources.needed(w.scale, "gift_eval")),
    output:
        manifest="results/{scale}/data/gift_eval/manifest.json",
    log:
        "logs/{scale}/data/gift_eval.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("prepare_gift_eval"),
    params:
        **request(
            "prepare_gift_eval",
            lambda w: PLANNING.embedded(w.scale),
            outside=lambda w: PLANNING.sources.own(w.scale, "gift_eval"),
        ),
    message:
        "data: GIFT-Eval sets"
    shell:
        "python -m specseq.stages prepare_gift_eval --request {params.request} > {log} 2>&1"


rule leakage:
    input:
        one_line(lambda w: PLANNING.benchmark_files(w.scale, w.benchmark)),
        corpus="results/{scale}/data/lotsa/manifest.json",
    output:
        out="results/{scale}/data/leakage_{benchmark}.parquet",
    log:
        "logs/{scale}/data/leakage_{benchmark}.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("leakage"),
    params:
        **request(
            "leakage",
            lambda w: PLANNING.leakage(w.scale, w.benchmark),
            outside=lambda w: PLANNING.sources.own(w.scale, "fev") if w.benchmark == "fev" else [],
        ),
    message:
        "data: test points of {wildcards.benchmark} in the training series"
    shell:
        "python -m specseq.stages leakage --request {params.request} > {log} 2>&1"


rule text:
    input:
        one_line(lambda w: PLANNING.sources.text_needed(w.scale)),
    output:
        manifest="results/{scale}/data/text/manifest.json",
    log:
        "logs/{scale}/data/text.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("text"),
    params:
        **request(
            "text",
            lambda w: {"text": PLANNING.sources.text(w.scale)},
            outside=lambda w: PLANNING.sources.text_own(w.scale),
        ),
    message:
        "data: text"
    shell:
        "python -m specseq.stages text --request {params.request} > {log} 2>&1"


rule zeros:
    output:
        out="results/{scale}/data/zeros.parquet",
    log:
        "logs/{scale}/data/zeros.log",
    conda:
        "../../envs/specseq.yaml"
    threads: 2
    resources:
        **asked("zeros"),
    params:
        **request(
            "zeros",
            lambda w: {"zeros": PLAN.data(w.scale)["zeros"]},
            besides=lambda w, threads: {"workers": threads},
            outside=lambda w: PLANNING.sources.zeros_own(w.scale),
        ),
    message:
        "data: zeros of the zeta function"
    shell:
        "python -m specseq.stages zeros --request {params.request} > {log} 2>&1"


rule spacings:
    input:
        zeros=lambda w: [] if PLANNING.sources.arrays(w.scale) else f"results/{w.scale}/data/zeros.parquet",
    output:
        manifest="results/{scale}/data/spacings/manifest.parquet",
    log:
        "logs/{scale}/data/spacings.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("spacings"),
    params:
        **request(
            "spacings",
            lambda w: {"spacings": PLAN.data(w.scale)["spacings"]},
            outside=lambda w: PLANNING.sources.arrays(w.scale),
        ),
    message:
        "data: spacing sets, real and controls"
    shell:
        "python -m specseq.stages spacings --request {params.request} > {log} 2>&1"
