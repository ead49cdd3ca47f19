# The result files of each study, by what it declares in specseq/studies/<study>/study.py.

TABLES = {name: (study, table) for study in STUDIES.values() for name, table in study.tables.items()}
FIGURES = {name: (study, figure) for study in STUDIES.values() for name, figure in study.figures.items()}


def results_of(study, scale):
    """The files of one study's results at a scale."""
    return Results(PLAN, study, scale, config["partial"])


def made_from(declared, scale):
    """Input files of a table or figure."""
    study, product = declared
    return product.inputs(results_of(study, scale))


def existing(declared, scale):
    """Names of these tables or figures; with ``partial: true``, of those studies that have results."""
    return [
        name
        for name, (study, _) in declared.items()
        if study.name in PLAN.studies(scale)
        and (not config["partial"] or all(study.needed(results_of(study, scale))))
    ]


def table_params(table, scale):
    study, product = TABLES[table]
    return {"scale": scale, **product.params(results_of(study, scale))}


def module_code(stage, declared):
    """Digest of the stage and of the module that makes a table or draws a figure."""
    study, product = declared
    return source_digest(f"stages/{stage}.py", module_file(study.module(product.make)))


def shown_figures(scale):
    return expand("results/{scale}/figures/{figure}.svg", scale=scale, figure=existing(FIGURES, scale))


def evidence(scale):
    """Every result that claims and page read: the tables, and what they are made from."""
    return expand("results/{scale}/tables/{table}.parquet", scale=scale, table=existing(TABLES, scale))


def declared_runs(scale):
    """A file of all that is declared, each behind its scale: the ledger names the scale that can decide a claim."""
    return listed(scale, [f"{name} {run}" for name, runs in PLAN.declared().items() for run in sorted(runs)])


def measured_weights(scale):
    """Weights of the STU study's runs."""
    return results_of(STUDIES["stu"], scale).of_runs("weights.safetensors")


def measurement_params(scale):
    """The sizes of the measurement; runs that are measured side by side share them."""
    sizes = {run: spec["measurement"] for run, spec in PLAN.study_runs(scale, "stu").items()}
    first, *others = sizes.items()
    for run, other in others:
        if other != first[1]:
            raise InputError(
                f"config.yaml: run {run}: measurement",
                f"is not that of {first[0]}, beside which it is measured",
                "set it in studies.stu.base",
            )
    return first[1]
