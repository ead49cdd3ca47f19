# Each comparison table: the result files it is made from and its parameters, as functions of the scale. The
# module specseq.studies.<study>.tables.<name> makes it.
TABLES = {
    "preconditioning": lambda scale: {
        "runs": evaluations(scale, "preconditioning"),
        "corpus": f"results/{scale}/data/lotsa/manifest.json",
    },
    "preconditioning_taps": lambda scale: {"runs": run_files(scale, "preconditioning", "pretrain")},
    "preconditioning_steps": lambda scale: {"runs": evaluations(scale, "preconditioning")},
    "preconditioning_theory": lambda scale: {
        "runs": evaluations(scale, "preconditioning"),
        "filters": f"results/{scale}/filters.parquet",
        "matched": matched_files(scale, "preconditioning", "matched"),
        "residuals": matched_files(scale, "preconditioning", "residuals"),
    },
    "preconditioning_theory_steps": lambda scale: TABLES["preconditioning_theory"](scale),
    "preconditioning_best": lambda scale: {"runs": evaluations(scale, "preconditioning")},
    "preconditioning_ranks": lambda scale: {
        "theory": f"results/{scale}/tables/preconditioning_theory.parquet",
    },
    "preconditioning_reversal": lambda scale: {
        "summary": f"results/{scale}/tables/preconditioning.parquet",
        "filters": f"results/{scale}/filters.parquet",
        "matched": matched_files(scale, "preconditioning", "matched"),
    },
    "preconditioning_training": lambda scale: {
        "summary": f"results/{scale}/tables/preconditioning.parquet",
        "taps": f"results/{scale}/tables/preconditioning_taps.parquet",
    },
    "preconditioning_norms": lambda scale: {
        "filters": f"results/{scale}/filters.parquet",
        "taps": f"results/{scale}/tables/preconditioning_taps.parquet",
    },
    "stu_long": lambda scale: {
        "training": run_files(scale, "stu", "pretrain"),
        "evaluation": evaluations(scale, "stu"),
        "measurement": f"results/{scale}/stu_measurements.parquet",
    },
    "stu": lambda scale: {
        "long": f"results/{scale}/tables/stu_long.parquet",
        "corpus": f"results/{scale}/data/lotsa/manifest.json",
    },
    "stu_models": lambda scale: {"long": f"results/{scale}/tables/stu_long.parquet"},
    "equilibrium_long": lambda scale: {
        "training": run_files(scale, "equilibrium", "pretrain"),
        "fingerprints": audited_files(scale, "fingerprint"),
    },
    "equilibrium": lambda scale: {"long": f"results/{scale}/tables/equilibrium_long.parquet"},
    "equilibrium_signals": lambda scale: {"long": f"results/{scale}/tables/equilibrium_long.parquet"},
    "equilibrium_mechanisms": lambda scale: {"measured": f"results/{scale}/equilibrium_mechanisms.parquet"},
    "zeta": lambda scale: {"long": f"results/{scale}/tables/zeta_long.parquet"},
    "zeta_size": lambda scale: {"long": f"results/{scale}/tables/zeta_long.parquet"},
    "zeta_long": lambda scale: {
        "training": run_files(scale, "zeta", "pretrain"),
        "rollouts": run_files(scale, "zeta", "rollout"),
        "references": [f"results/{scale}/zeta_references.parquet"],
    },
}

TABLE_PARAMS = {
    name: lambda scale, study=study: {"baselines": baselines(scale, study)}
    for study, name in (
        ("preconditioning", "preconditioning"),
        ("preconditioning", "preconditioning_steps"),
        ("preconditioning", "preconditioning_best"),
        ("stu", "stu"),
        ("stu", "stu_models"),
    )
}


# What the tables and figures of each study cannot do without.
NEEDED = {
    "preconditioning": lambda scale: [
        run_files(scale, "preconditioning", "pretrain"),
        evaluations(scale, "preconditioning"),
    ],
    "stu": lambda scale: [measured_weights(scale), evaluations(scale, "stu")],
    "equilibrium": lambda scale: [
        run_files(scale, "equilibrium", "pretrain"),
        audited_files(scale, "audit"),
    ],
    "zeta": lambda scale: [run_files(scale, "zeta", "pretrain"), run_files(scale, "zeta", "rollout")],
}


def declared(registry, scale):
    """The tables or figures of the studies that are declared; each is named after its study.

    With ``partial: true``, a study of which no run is there yet is left out.
    """
    studies = [study for study in config["studies"] if not config["partial"] or all(NEEDED[study](scale))]
    return [name for name in registry if name.split("_")[0] in studies]


def declared_runs(scale):
    """A file of all that is declared, each behind its scale: the ledger names the scale that can decide a claim."""
    return listed(scale, [f"{name} {run}" for name, runs in PLAN.declared().items() for run in sorted(runs)])


def evidence(scale):
    """Every result that claims and page read: the tables, and what they are made from."""
    return expand("results/{scale}/tables/{table}.parquet", scale=scale, table=declared(TABLES, scale))
