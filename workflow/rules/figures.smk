# Each figure: the result files it is drawn from, as a function of the scale. The module
# specseq.report.figures.<name> draws it.
FIGURES = {
    "preconditioning_filters": lambda scale: {"filters": f"results/{scale}/filters.parquet"},
    "preconditioning_training": lambda scale: {
        "runs": run_files(scale, "preconditioning", "pretrain"),
    },
    "preconditioning_gap": lambda scale: {
        "summary": f"results/{scale}/tables/preconditioning.parquet",
        "filters": f"results/{scale}/filters.parquet",
    },
    "preconditioning_forest": lambda scale: {"summary": f"results/{scale}/tables/preconditioning.parquet"},
    "preconditioning_theory": lambda scale: {
        "theory": f"results/{scale}/tables/preconditioning_theory.parquet",
    },
    "preconditioning_steps": lambda scale: {
        "steps": f"results/{scale}/tables/preconditioning_steps.parquet",
        "filters": f"results/{scale}/filters.parquet",
    },
    "preconditioning_coefficients": lambda scale: {
        "runs": run_files(scale, "preconditioning", "pretrain"),
        "filters": f"results/{scale}/filters.parquet",
    },
    **{
        f"stu_{name}": lambda scale: {"long": f"results/{scale}/tables/stu_long.parquet"}
        for name in ("training", "speed", "filters")
    },
    "stu_ratios": lambda scale: {"summary": f"results/{scale}/tables/stu.parquet"},
    **{
        f"zeta_{name}": lambda scale: {"long": f"results/{scale}/tables/zeta_long.parquet"}
        for name in ("leak", "context", "rollout", "statistics")
    },
    "zeta_masks": lambda scale: {},
    "equilibrium_walls": lambda scale: {"long": f"results/{scale}/tables/equilibrium_long.parquet"},
    "equilibrium_modes": lambda scale: {"long": f"results/{scale}/tables/equilibrium_long.parquet"},
    "equilibrium_audit": lambda scale: {
        "spectra": audited_files(scale, "spectrum"),
        "verdicts": audited_files(scale, "audit"),
        "fingerprints": audited_files(scale, "fingerprint"),
    },
    **{
        f"equilibrium_{name}": lambda scale: {"measured": f"results/{scale}/equilibrium_mechanisms.parquet"}
        for name in ("solvers", "estimators", "diagnostics")
    },
}


rule figure:
    input:
        unpack(said(lambda w: FIGURES[w.figure](w.scale))),
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
        figure="|".join(FIGURES),
    conda:
        "../../envs/specseq.yaml"
    params:
        code=lambda w: code(*figure_code(w.figure), "report/figures/style.py", "stages/figure.py"),
        inputs=named_inputs,
        out=lambda w, output: output.svg.removesuffix(".svg"),
    message:
        "figure: {wildcards.figure}"
    shell:
        "python -m specseq.stages.figure --name {wildcards.figure} {params.inputs} --out {params.out} > {log} 2>&1"
