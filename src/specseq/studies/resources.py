"""What stages ask of a cluster, by study and rule."""

from specseq.settings import STRICT, Field, dataclass


@dataclass(frozen=True, config=STRICT, kw_only=True)
class StageResources:
    """What one rule asks for; a stage that is tried again gets more time and memory."""

    minutes: int = Field(default=120, ge=1, description="time limit; training goes on in a new job")
    mem_mb: int = Field(default=8000, ge=100, description="memory in MB")
    cpus: int = Field(default=1, ge=1, description="CPU cores")
    gpus: int = Field(
        default=0,
        ge=0,
        description="GPUs, on the partition of the section `slurm`; without SLURM one of this machine",
    )


ALL = "all"
"""Stands in place of a study's name: what is set here applies to every study and wins over its settings."""
RULES = (
    *("audit", "design", "design_matched", "evaluate", "leakage", "measure", "mechanisms"),
    *("prepare_gift_eval", "prepare_lotsa", "pretrain", "references", "residuals", "rollout"),
    *("spacings", "text", "zeros"),
)
"""The rules that ask for resources."""
