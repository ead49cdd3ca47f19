rule table:
    input:
        unpack(said(lambda w: made_from(TABLES[w.table], w.scale))),
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
        table="|".join(TABLES),
    conda:
        "../../envs/specseq.yaml"
    resources:
        login=1,  # limited where it runs on a login node
    params:
        code=lambda w: module_code("table", TABLES[w.table]),
        inputs=named_inputs,
        spec=said(lambda w: as_json(table_params(w.table, w.scale))),
    message:
        "table: {wildcards.table}"
    shell:
        "python -m specseq.stages.table --name {wildcards.table} {params.inputs} --params {params.spec:q}"
        " --out {output.parquet} --csv {output.csv} > {log} 2>&1"
