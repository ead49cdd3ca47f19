# Inputs:  weights of a run, or none for a forecaster from outside; data of a benchmark
# Outputs: results/{scale}/filters.parquet
#          results/{scale}/runs/{run}/{benchmark}.parquet; also {benchmark}_residuals.parquet, {benchmark}_matched.parquet
#          for runs with filters that are designed for a forecaster's residuals
#          results/{scale}/stu_measurements.parquet


rule design:
    output:
        out="results/{scale}/filters.parquet",
    log:
        "logs/{scale}/design.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("design"),
    params:
        **request(
            "design",
            lambda w: {"filters": PLANNING.fixed_filters()},
            besides=lambda w, threads: {"parts": parts(w, "design")},
        ),
    message:
        "design: taps and diagnostics of every filter"
    shell:
        "python -m specseq.stages design --request {params.request} > {log} 2>&1"


rule residuals:
    input:
        one_line(lambda w: PLANNING.forecasting_inputs(w.scale, w.run, w.benchmark)),
    output:
        out="results/{scale}/runs/{run}/{benchmark}_residuals.parquet",
    log:
        "logs/{scale}/residuals/{run}/{benchmark}.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("residuals"),
    params:
        **request(
            "residuals",
            lambda w: PLANNING.residuals(w.scale, w.run, w.benchmark),
            besides=lambda w, threads: {"parts": parts(w, f"{w.benchmark}_residuals")},
            outside=lambda w: PLANNING.evaluation_files(w.scale, w.run, w.benchmark),
            code=lambda w: ["stages/residuals.py", "models"],
        ),
    message:
        "residuals: {wildcards.run} before the test windows of {wildcards.benchmark}"
    shell:
        "python -m specseq.stages residuals --request {params.request} > {log} 2>&1"


rule design_matched:
    input:
        residuals=rules.residuals.output.out,
    output:
        out="results/{scale}/runs/{run}/{benchmark}_matched.parquet",
    log:
        "logs/{scale}/matched/{run}/{benchmark}.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("design_matched"),
    params:
        **request(
            "design",
            lambda w: {"filters": PLANNING.matched(w.scale, w.run)},
            besides=lambda w, threads: {"parts": parts(w, f"{w.benchmark}_matched")},
        ),
    message:
        "design: filters matched to the errors of {wildcards.run} on {wildcards.benchmark}"
    shell:
        "python -m specseq.stages design --request {params.request} > {log} 2>&1"


rule evaluate:
    input:
        one_line(lambda w: PLANNING.forecasting_inputs(w.scale, w.run, w.benchmark)),
        designed=one_line(lambda w: PLANNING.designed(w.scale, w.run, w.benchmark)),
    output:
        out="results/{scale}/runs/{run}/{benchmark}.parquet",
    log:
        "logs/{scale}/evaluate/{run}/{benchmark}.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("evaluate"),
    params:
        **request(
            "evaluate",
            lambda w: PLANNING.evaluation(w.scale, w.run, w.benchmark),
            besides=lambda w, threads: {"parts": parts(w, w.benchmark)},
            outside=lambda w: PLANNING.evaluation_files(w.scale, w.run, w.benchmark),
            code=lambda w: ["stages/evaluate.py", "models"],
        ),
    message:
        "evaluate: {wildcards.run} on {wildcards.benchmark}"
    shell:
        "python -m specseq.stages evaluate --request {params.request} > {log} 2>&1"


rule measure:
    input:
        weights=one_line(lambda w: PLANNING.measured_weights(w.scale)),
        store="results/{scale}/data/lotsa/manifest.json",
    output:
        out="results/{scale}/stu_measurements.parquet",
    log:
        "logs/{scale}/stu_measurements.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        **asked("measure"),
    params:
        **request(
            "measure",
            lambda w: PLANNING.measurement(w.scale),
            code=lambda w: ["stages/measure.py", "models"],
        ),
    message:
        "measure: parameters, speed and leaks of the STU study's models"
    shell:
        "python -m specseq.stages measure --request {params.request} > {log} 2>&1"
