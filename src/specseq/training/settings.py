"""How a task is trained and from which weights: the sections ``training`` and ``initial`` of a run."""

from typing import Annotated, Literal

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass

__all__ = ["Initial", "TrainingSettings"]

Decay = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=STRICT)
class TrainingSettings:
    """Length, optimiser, precision and bookkeeping of a training run."""

    steps: int = Field(ge=1, description="optimiser steps")
    batch: int = Field(default=16, ge=1, description="rows per batch")
    lr: float = Field(default=1e-3, ge=0, description="peak learning rate")
    weight_decay: float = Field(default=0.1, ge=0, description="decoupled weight decay of matrices")
    optimiser: Literal["adamw", "muon"] = Field(
        default="adamw",
        description="muon: weights of linear layers follow their orthogonalised momentum, the rest AdamW",
    )
    betas: tuple[Decay, Decay] = Field(default=(0.9, 0.98), description="decay rates of AdamW's two moments")
    eps: float = Field(default=1e-6, ge=0, description="AdamW's epsilon")
    warmup: float = Field(
        default=0, ge=0, description="steps of linear warm-up from 0; below 1: a fraction of all steps"
    )
    schedule: Literal["cosine", "cosine_restarts", "warmup", "constant"] = Field(
        default="cosine",
        description="after the warm-up: one cosine to 0, several, or the peak rate kept (warmup, constant)",
    )
    cycles: float = Field(default=1, ge=0, description="number of cosines of cosine_restarts")
    clip: float = Field(default=1.0, ge=0, description="largest norm of the gradient; 0 disables clipping")
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = Field(
        default="auto",
        description="auto: bfloat16 autocast where the accelerator has it, else float32; tf32: float32 with "
        "matrix products rounded to TF32 on NVIDIA accelerators",
    )
    micro_batches: int = Field(
        default=1, ge=1, description="parts that a batch is computed in, to save memory"
    )
    prefetch: int | None = Field(
        default=None,
        ge=0,
        description="batches prepared ahead by a thread; null: 2 on an accelerator, else 0",
    )
    loaders: int = Field(
        default=0, ge=0, description="processes that make batches, with no effect on them; 0: the run's own"
    )
    compile: bool = Field(default=False, description="compile the model with torch.compile")
    log_every: int = Field(default=1, ge=1, description="steps between recorded training metrics")
    evaluate_every: int = Field(default=0, ge=0, description="steps between evaluations; 0: only at the end")
    checkpoint_every: int = Field(
        default=0, ge=0, description="steps between checkpoints; 0: only at the end"
    )
    checkpoint_minutes: float = Field(
        default=10, ge=0, description="minutes between checkpoints; 0 disables them"
    )
    leave_at: int = Field(
        default=0,
        ge=0,
        description="step after which the run stops and resumes once, as at a time limit; 0: none",
    )
    tensorboard: bool = Field(default=True, description="write TensorBoard scalars beside the checkpoints")

    def __post_init__(self) -> None:
        if self.cycles != 1 and self.schedule != "cosine_restarts":
            raise InputError("cycles", f"has no effect with schedule {self.schedule}", "use cosine_restarts")
        if self.warmup >= 1 and self.warmup % 1:
            raise InputError("warmup", f"{self.warmup:g} is not a whole number of steps", "round it")
        if self.warmup_steps > self.steps:
            fault = f"{self.warmup_steps} steps are more than the {self.steps} of the run"
            raise InputError("warmup", fault, "shorten it, or give a fraction of all steps")
        if self.micro_batches > self.batch:
            fault = f"{self.micro_batches} are more than the batch of {self.batch}"
            raise InputError("micro_batches", fault, "use fewer")
        if self.leave_at >= self.steps:
            raise InputError("leave_at", f"no step of {self.steps} is left after {self.leave_at}", "lower it")
        if self.warmup and self.schedule == "constant":
            raise InputError("warmup", "has no effect with schedule constant", "use schedule warmup")

    @property
    def warmup_steps(self) -> int:
        """Length of the warm-up in steps."""
        return round(self.warmup * self.steps) if 0 < self.warmup < 1 else int(self.warmup)


@dataclass(frozen=True, config=STRICT)
class Initial:
    """The weights that training begins from, with a new optimiser and schedule."""

    run: str | None = Field(
        default=None,
        description="run whose weights this one begins from; {seed} stands for this run's seed",
    )
    checkpoint: str | None = Field(
        default=None,
        min_length=1,
        description="alternatively, a folder written by specseq import, a foreign checkpoint, or its hub id",
    )

    def __post_init__(self) -> None:
        if (self.run is None) == (self.checkpoint is None):
            raise InputError("run", "training begins from a run or from a checkpoint", "give one of them")
