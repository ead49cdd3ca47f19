# Each comparison table: the result files it is made from and its parameters, as functions of the scale. The
# module specseq.report.tables.<name> makes it.
TABLES = {
    "preconditioning": lambda scale: {
        "runs": evaluations(scale, "preconditioning"),
        "filters": f"results/{scale}/filters.parquet",
    },
    "stu_long": lambda scale: {
        "training": run_files(scale, "stu", "pretrain"),
        "evaluation": evaluations(scale, "stu"),
    },
    "equilibrium_long": lambda scale: {
        "training": run_files(scale, "equilibrium", "pretrain"),
        "fingerprints": run_files(scale, "equilibrium", "fingerprint"),
    },
    "zeta": lambda scale: {"long": f"results/{scale}/tables/zeta_long.parquet"},
    "zeta_long": lambda scale: {
        "training": run_files(scale, "zeta", "pretrain"),
        "rollouts": run_files(scale, "zeta", "rollout"),
        "references": [f"results/{scale}/zeta_references.parquet"],
    },
}


rule table:
    input:
        unpack(said(lambda w: TABLES[w.table](w.scale))),
        code=lambda w: code(f"report/tables/{w.table}.py", "stages/table.py"),
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
    params:
        inputs=named_inputs,
        spec=lambda w: as_json({"scale": w.scale}),
    message:
        "table: {wildcards.table}"
    shell:
        "python -m specseq.stages.table --name {wildcards.table} {params.inputs} --params {params.spec:q}"
        " --out {output.parquet} --csv {output.csv} > {log} 2>&1"
