rule claims:
    input:
        results=lambda w: evidence(w.scale),
        ledger=sorted(str(path) for path in Path("workflow/studies").glob("*/claims*.yaml")),
    output:
        parquet="results/{scale}/claims.parquet",
        csv=report(
            "results/{scale}/claims.csv",
            caption="../report/claims.rst",
            category="Claims",
            labels={"scale": "{scale}"},
        ),
    log:
        "logs/{scale}/claims.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        login=1,  # limited where it runs on a login node
    params:
        code=source_digest("stages/claims.py", *(f"studies/{study}/checks.py" for study in PLAN.study_names)),
        declared=said(lambda w: declared_runs(w.scale)),
    message:
        "claims: verdicts of the ledger"
    shell:
        "python -m specseq.stages.claims --claims workflow/studies --results results/{wildcards.scale}"
        " --scale {wildcards.scale} --declared {params.declared} --out {output.parquet} --csv {output.csv} > {log} 2>&1"


rule report_page:
    input:
        claims="results/{scale}/claims.parquet",
        results=lambda w: evidence(w.scale),
        figures=lambda w: shown_figures(w.scale),
        sections=sorted(str(path) for path in Path("workflow/studies").glob("*/page.yaml")),
    output:
        "results/{scale}/report/index.html",
    log:
        "logs/{scale}/report.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        login=1,  # limited where it runs on a login node
    params:
        code=source_digest("stages/report_page.py"),
    message:
        "report: {output}"
    shell:
        "python -m specseq.stages.report_page --results results/{wildcards.scale} --sections workflow/studies"
        " --scale {wildcards.scale} --out {output} > {log} 2>&1"
