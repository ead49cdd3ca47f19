# Each figure: the result files it is drawn from, as a function of the scale. The module
# specseq.studies.<study>.figures.<name> draws it.
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
    "zeta_size": lambda scale: {
        "long": f"results/{scale}/tables/zeta_long.parquet",
        "sizes": f"results/{scale}/tables/zeta_size.parquet",
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


def shown_figures(scale):
    return expand("results/{scale}/figures/{figure}.svg", scale=scale, figure=declared(FIGURES, scale))
