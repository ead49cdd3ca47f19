# Inputs:  results of the runs of a study, as its study.py declares them; the notes' claims; the page's sections
# Outputs: results/{scale}/tables/{table}.parquet and .csv, figures/{figure}.svg, .png and .pdf
#          results/{scale}/rehearsal.parquet and .csv
#          results/{scale}/claims.parquet and .csv, results/{scale}/report/index.html


rule table:
    input:
        unpack(one_line(lambda w: PLANNING.inputs(w.scale, "tables", w.table))),
    output:
        parquet="results/{scale}/tables/{table}.parquet",
        csv=report(
            "results/{scale}/tables/{table}.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "scale": "{scale}"},
        ),
    log:
        "logs/{scale}/tables/{table}.log",
    wildcard_constraints:
        table="|".join(products("tables")),
    conda:
        "../../envs/specseq.yaml"
    resources:
        login=1,  # limited where it runs on a login node
    params:
        **request(
            "table",
            lambda w: PLANNING.table(w.scale, w.table),
            code=lambda w: PLANNING.product_code("table", "tables", w.table),
            group="inputs",
        ),
    message:
        "table: {wildcards.table}"
    shell:
        "python -m specseq.stages table --request {params.request} > {log} 2>&1"


rule figure:
    input:
        unpack(one_line(lambda w: PLANNING.inputs(w.scale, "figures", w.figure))),
    output:
        svg=report(
            "results/{scale}/figures/{figure}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "scale": "{scale}"},
        ),
        png="results/{scale}/figures/{figure}.png",
        pdf="results/{scale}/figures/{figure}.pdf",
    log:
        "logs/{scale}/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join(products("figures")),
    conda:
        "../../envs/specseq.yaml"
    resources:
        login=1,  # limited where it runs on a login node
    params:
        **request(
            "figure",
            lambda w: {"name": w.figure, "scale": w.scale},
            code=lambda w: PLANNING.product_code("figure", "figures", w.figure),
            group="inputs",
        ),
    message:
        "figure: {wildcards.figure}"
    shell:
        "python -m specseq.stages figure --request {params.request} > {log} 2>&1"


rule rehearsal:
    input:
        lambda w: rehearsal_results(PLANNING, w.scale),
    output:
        parquet="results/{scale}/rehearsal.parquet",
        csv="results/{scale}/rehearsal.csv",
    log:
        "logs/{scale}/rehearsal.log",
    conda:
        "../../envs/specseq.yaml"
    params:
        **request("rehearsal", lambda w: rehearsal_params(PLANNING, w.scale, SETTINGS.slurm.signal_delay_s)),
    message:
        "rehearsal: what each run costs, in {output.csv}"
    shell:
        "python -m specseq.stages rehearsal --request {params.request} > {log} 2>&1"


rule claims:
    input:
        lambda w: PLANNING.evidence(w.scale),
        sorted(str(path) for path in Path("workflow/studies").glob("*/claims*.yaml")),
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
        **request(
            "claims",
            lambda w: PLANNING.claims(w.scale),
            code=lambda w: PLANNING.report_code("claims", "checks"),
        ),
    message:
        "claims: verdicts of the ledger"
    shell:
        "python -m specseq.stages claims --request {params.request} > {log} 2>&1"


rule report_page:
    input:
        rules.claims.output.parquet,
        lambda w: PLANNING.evidence(w.scale),
        lambda w: [f"results/{w.scale}/figures/{name}.svg" for name in PLANNING.shown(w.scale, "figures")],
        sorted(str(path) for path in Path("workflow/studies").glob("*/page.yaml")),
    output:
        out="results/{scale}/report/index.html",
    log:
        "logs/{scale}/report.log",
    conda:
        "../../envs/specseq.yaml"
    resources:
        login=1,  # limited where it runs on a login node
    params:
        **request(
            "report_page",
            lambda w: PLANNING.page(w.scale),
            code=lambda w: PLANNING.report_code("report_page", "answer"),
        ),
    message:
        "report: {output}"
    shell:
        "python -m specseq.stages report_page --request {params.request} > {log} 2>&1"
