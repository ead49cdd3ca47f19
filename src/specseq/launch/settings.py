"""Settings of a SLURM job: the ``slurm`` section of the config, by the names that submitit gives them."""

import re
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass

__all__ = ["SlurmSettings"]

# Whatever is written into a batch script must stay on its line and not be expanded by the shell.
_WORD = re.compile(r"[\w.,:=@+*/()\[\]% -]*")
_DURATION = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d\d))?(?::(\d\d))?")
# YAML reads an unquoted 1:00:00 as 3600, which would turn one hour into 60.
_LARGEST_NUMBER_OF_MINUTES = 2880


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ValueError("a plain word")
    return text


def _size(size: int | str) -> int | str:
    if not re.fullmatch(r"\d+(\.\d+)?([KMGT]i?B?)?", str(size)):
        raise ValueError("a size such as 16GB")
    return size


Word = Annotated[str, AfterValidator(_word)]
Size = Annotated[int | str, AfterValidator(_size)]
Count = Annotated[int, Field(ge=1)]
Shell = Annotated[tuple[str, ...], Field(description="shell commands")]


@dataclass(frozen=True, config=STRICT)
class SlurmSettings:
    """Resources and options of a training job on SLURM; the cluster decides what is not set."""

    partition: Word | None = Field(default=None, description="partition, or several separated by commas")
    account: Word | None = Field(default=None, description="account to charge")
    qos: Word | None = Field(default=None, description="quality of service")
    time: int | str = Field(
        default=720,
        description="time limit of one job: minutes, 'hours:minutes:seconds' or 'days-hours'; "
        "a run that is not done by then goes on in a new job",
    )
    signal_delay_s: Count = Field(
        default=120, description="seconds between the signal to checkpoint and the end"
    )
    nodes: Count | None = Field(default=None, description="nodes")
    ntasks_per_node: Count | None = Field(
        default=None, description="processes per node, each with a part of the batch"
    )
    cpus_per_task: Count | None = Field(default=None, description="CPU cores per process")
    gpus_per_node: Annotated[int, Field(ge=0)] | Word | None = Field(
        default=None, description="GPUs per node: a number, or type:number"
    )
    gpus_per_task: Annotated[int, Field(ge=0)] | Word | None = Field(
        default=None, description="GPUs per process"
    )
    cpus_per_gpu: Count | None = Field(default=None, description="CPU cores per GPU of gpus_per_task")
    gres: Word | None = Field(default=None, description="generic resources, such as gpu:a100:1")
    mem: Size | None = Field(default=None, description="memory per node, such as 16GB; a number is in MB")
    mem_per_cpu: Size | None = Field(default=None, description="memory per core")
    mem_per_gpu: Size | None = Field(default=None, description="memory per GPU")
    constraint: Word | None = Field(default=None, description="features that the nodes must have")
    nodelist: Word | None = Field(default=None, description="nodes to use")
    exclude: Word | None = Field(default=None, description="nodes not to use")
    exclusive: bool | Literal["user", "mcs"] | None = Field(
        default=None, description="share the nodes with no other job"
    )
    dependency: Word | None = Field(default=None, description="jobs to wait for")
    comment: Word | None = Field(default=None, description="comment of the job")
    wckey: Word | None = Field(default=None, description="workload characterisation key")
    mail_type: Word | None = Field(default=None, description="events to send mail about")
    mail_user: Word | None = Field(default=None, description="where to send mail")
    setup: Shell | None = Field(
        default=None, description="shell commands before the job, such as module load"
    )
    teardown: Shell | None = Field(default=None, description="shell commands after the job")
    srun_args: tuple[Word, ...] | None = Field(default=None, description="further options of srun")
    additional_parameters: dict[Word, Word | int | float | bool | None] | None = Field(
        default=None, description="further options of sbatch by their long names"
    )

    def __post_init__(self) -> None:
        if isinstance(self.time, int) and not 1 <= self.time <= _LARGEST_NUMBER_OF_MINUTES:
            raise InputError(
                "time",
                f"{self.time} is not a number of minutes from 1 to {_LARGEST_NUMBER_OF_MINUTES}",
                "write hours and days in quotes ('12:00:00', '3-0'): YAML reads a bare 12:00:00 as 43200",
            )
        if not self.minutes:
            raise InputError(
                "time", f"{self.time!r} is not a time limit", "write minutes, '12:00:00' or '3-0'"
            )
        if self.cpus_per_gpu is not None and self.gpus_per_task is None:
            raise InputError("cpus_per_gpu", "has no effect without gpus_per_task", "use cpus_per_task")

    @property
    def minutes(self) -> int:
        """The time limit in whole minutes, as SLURM reads it; 0 where it is none.

        Source: the option ``--time`` of sbatch: "minutes", "minutes:seconds", "hours:minutes:seconds",
        "days-hours", "days-hours:minutes" and "days-hours:minutes:seconds".
        """
        found = _DURATION.fullmatch(str(self.time))
        if not found:
            return 0
        days, *rest = found.groups()
        first, second, third = (int(part or 0) for part in rest)
        if days is not None:
            seconds = 86400 * int(days) + 3600 * first + 60 * second + third
        elif rest[2] is not None:
            seconds = 3600 * first + 60 * second + third
        else:
            seconds = 60 * first + second
        return -(-seconds // 60)

    def parameters(self) -> dict[str, Any]:
        """The options that are set, in the form of submitit's SLURM executor."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        given["time"] = self.minutes
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if value is not None
        }
