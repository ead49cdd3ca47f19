from snakemake.utils import min_version

min_version("9.20")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/requests.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/rollout.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        reports(config["scale"]),


check_targets()

# Stays last. Snakemake copies every name of these files for each message and command, a tenth of the time to plan
# thousands of jobs; ours name nothing but what belongs to their job.
workflow.modifier.globals = {"config": config}
