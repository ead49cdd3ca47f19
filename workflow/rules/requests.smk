# What rules ask of stages: the request file that tells a stage its work, and the resources that it needs.

import json

from specseq.launch import gpus
from specseq.sources import source_digest
from specseq.stages.request import save
from specseq.studies.outside import state
from specseq.studies.config import RULES

# Whether stages run on this machine. A job of a cluster looks at its own resources, too.
HERE = workflow.is_main_process and command_line().executor in (None, "local")
# The GPUs that stages on this machine share out; none where a batch system does so.
GPUS = gpus.visible() if HERE else []
if GPUS:
    workflow.global_resources.setdefault("gpu", len(GPUS))


def request(stage, parameters, code=None, group=None, besides=lambda w, threads: {}, outside=lambda w: []):
    """The params of a rule that runs a stage; ``params.request`` is the path of its request file.

    The request holds the parameters and the rule's named inputs and outputs (the inputs under the name ``group``, if
    one is given). ``code`` names the source files that decide the result, if the stage does not import all of them by
    name. The rule runs again when ``params.code`` or ``params.decides`` changes; the latter includes the state of
    files ``outside`` the workflow that the config names. Other paths are left out, since Snakemake watches inputs and
    outputs itself, and so is what ``besides`` adds, which affects no result. A SLURM job looks for the request that was
    written when the job was planned; after an edit of code or config there is none of that name.
    """

    def files(wildcards):
        return code(wildcards) if code else [f"stages/{stage}.py"]

    def decides(wildcards):
        given = {path: state(path) for path in outside(wildcards) if path}
        return json.dumps([parameters(wildcards), given] if given else parameters(wildcards), sort_keys=True)

    def path(wildcards, input, output, threads):
        inputs, names = fields(input), files(wildcards)
        content = {
            **({group: inputs} if group else inputs),
            **fields(output),
            **parameters(wildcards),
            **besides(wildcards, threads),
            "gpu": local_gpu(stage, wildcards),
            "code": {"files": names, "digest": source_digest(*names)},
        }
        folder = f"results/{wildcards.scale}" if "scale" in wildcards.keys() else "downloads"
        return save(
            Path(folder, "requests", stage), content, write=workflow.is_main_process and not workflow.dryrun
        )

    return {
        "code": one_line(lambda wildcards: source_digest(*files(wildcards))),
        "decides": one_line(decides),
        "request": one_line(path),
    }


@functools.cache
def default_resources():
    """What the profile or the command line makes stages ask for beside their own resources."""
    given = getattr(command_line(), "default_resources", None) or {}
    return {name: str(value.raw) for name, value in given.items()}


def asked(rule):
    """The resources of a rule, by the study of its run: those of resources.yaml, and more when it is tried again.

    Those that only a cluster reads are left out without one: to evaluate each costs a twentieth of planning.
    """

    def of(wildcards):
        return resources_of(rule, wildcards)

    def partition(wildcards):
        return (
            SETTINGS.slurm.partition if of(wildcards).gpus else default_resources().get("slurm_partition", "")
        )

    resources = {"mem_mb": lambda wildcards, attempt: of(wildcards).mem_mb * 2 ** (attempt - 1)}
    if not HERE:
        resources |= {
            "runtime": lambda wildcards, attempt: of(wildcards).minutes * attempt,
            "cpus_per_task": lambda wildcards: of(wildcards).cpus,
            "gpu": lambda wildcards: of(wildcards).gpus,
            "slurm_partition": lambda wildcards: partition(wildcards) or "",
        }
    return {name: one_line(value) for name, value in resources.items()} | own_gpu(rule)


def own_gpu(rule):
    """The resource of which this machine has one for each of its GPUs."""
    return {"gpu": one_line(lambda wildcards: int(local_gpu(rule, wildcards) or 0))} if GPUS else {}


def local_gpu(stage, wildcards):
    """Whether a stage is given one of this machine's GPUs to itself, or None where it is not for us to say."""
    if not GPUS or stage not in RULES or stage == "pretrain" and training_place() == "slurm":
        return None
    return resources_of(stage, wildcards).gpus > 0


def resources_of(rule, wildcards):
    """What resources.yaml and the config say about a rule."""
    return PLANNING.resources(wildcards.get("scale", SETTINGS.scale), rule, wildcards.get("run", ""))


def parts(wildcards, name):
    """The folder of what a killed stage leaves, of a run or of none, from which its next attempt resumes."""
    return f"results/{wildcards.scale}/checkpoints/{wildcards.get('run', 'stages')}/{name}"


def fields(files):
    """The named files of a rule, without names whose list is empty."""
    return {name: named if isinstance(named, str) else list(named) for name, named in files.items() if named}


def forced(rule, *files):
    """Whether the command line asks for a rule or its files to be made again."""
    settings = workflow.dag_settings
    asked = settings.forcerun.union(settings.targets if settings.forcetargets else ())
    return settings.forceall or not asked.isdisjoint({rule, *files})
