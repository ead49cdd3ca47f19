"""Stage ``pretrain``: one run trained, here or on SLURM.

The launcher of a SLURM job is light: model and data are loaded where the work is done. Started again after a
kill, it resumes from the newest checkpoint, or waits for the job if that still runs.
"""

import sys
from pathlib import Path
from typing import Any, Literal

from specseq.errors import InputError
from specseq.launch.launcher import JobFailed, launch
from specseq.launch.settings import SlurmSettings
from specseq.launch.training import TrainingRun
from specseq.settings import STRICT, Field, dataclass, near
from specseq.stages.request import serve
from specseq.studies import studies


@dataclass(frozen=True, config=STRICT, kw_only=True)
class PretrainRequest:
    """A run to train."""

    run: str = Field(description="run id, study/sweep/point")
    params: dict[str, Any] = Field(description="parameters of the run that decide its training")
    inputs: dict[str, Path] = Field(
        description="training inputs by name; a manifest.json stands for its folder"
    )
    weights: Path = Field(description="weights.safetensors to write")
    metrics: Path = Field(description="pretrain.parquet to write beside them")
    checkpoints: Path = Field(description="folder of the checkpoints")
    jobs: Path = Field(description="folder of the job's ticket and logs")
    cluster: Literal["local", "slurm"] = Field("local", description="where to train")
    slurm: SlurmSettings | None = Field(None, description="settings of the SLURM job")
    restart: bool = Field(False, description="begin from the start instead of the newest checkpoint")

    def __post_init__(self) -> None:
        if (study := self.run.partition("/")[0]) not in studies():
            raise InputError("run", f"{self.run!r} is of no study", near(study, studies()))


def main(request: PretrainRequest) -> int:
    """Launch and wait."""
    inputs = {name: path.resolve() for name, path in request.inputs.items()}
    study = studies()[request.run.partition("/")[0]]
    training = TrainingRun(
        study.reference(study.build),
        study.name,
        request.run,
        request.params,
        {name: path.parent if path.name == "manifest.json" else path for name, path in inputs.items()},
        request.weights.parent.resolve(),
        request.checkpoints.resolve(),
    )
    try:
        result = launch(
            training,
            name=request.run,
            folder=request.jobs,
            cluster=request.cluster,
            settings=request.slurm,
            restart=request.restart,
        )
    except JobFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    ending = f"diverged ({result['diverged']})" if result["diverged"] else f"loss {result['loss']}"
    print(f"{request.run}: {result['step']} steps, {ending}")
    return 0


if __name__ == "__main__":
    serve(PretrainRequest, main, __doc__)
