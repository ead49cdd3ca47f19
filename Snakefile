from snakemake.utils import min_version

min_version("9.20")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/common/plan.smk"
include: "workflow/common/inputs.smk"
include: "workflow/common/data.smk"
include: "workflow/common/training.smk"
include: "workflow/common/evaluation.smk"
include: "workflow/common/results.smk"
include: "workflow/common/captions.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/zeros.smk"
include: "workflow/rules/design.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/rollout.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        f"results/{config['scale']}/report/index.html",
