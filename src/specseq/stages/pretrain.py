"""Train one run: launch it locally or on SLURM, wait, leave ``weights.safetensors`` and ``pretrain.parquet``.

The launcher of a SLURM job is light: model and data are loaded where the work is done. Started again after a
kill, it goes on from the newest checkpoint, or waits for the job if that still runs.
"""

import json
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.launch.launcher import JobFailed, launch
from specseq.launch.settings import SlurmSettings
from specseq.launch.training import TrainingRun
from specseq.settings import read
from specseq.stages import arguments
from specseq.studies import studies


def _input(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise ArgumentTypeError(f"{text!r} is not of the form name=path")
    return name, Path(path).resolve()


def _settings(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ArgumentTypeError(f"not JSON ({error})") from None
    if not isinstance(value, dict):
        raise ArgumentTypeError("a JSON object is wanted")
    return value


def main() -> None:
    """Parse, launch, wait."""
    parser = arguments.parser(__doc__ or "")
    parser.add_argument("--run", required=True, help="run id, which begins with its study")
    parser.add_argument(
        "--input", nargs="*", type=_input, default=[], help="inputs as name=path", dest="inputs"
    )
    parser.add_argument("--out-dir", required=True, type=Path, help="where the results go")
    parser.add_argument("--checkpoint-dir", required=True, type=Path, help="where checkpoints go")
    parser.add_argument("--folder", required=True, type=Path, help="where ticket and logs of the job go")
    parser.add_argument("--cluster", default="local", choices=("local", "slurm"), help="where to train")
    parser.add_argument("--slurm", type=_settings, default={}, help="SLURM settings as a JSON object")
    options = parser.parse_args()
    study = options.run.partition("/")[0]
    if study not in studies():
        raise InputError(
            "--run", f"{options.run!r} is of no study", f"begin with one of {', '.join(studies())}"
        )
    declared = studies()[study]
    training = TrainingRun(
        declared.reference(declared.build),
        study,
        options.run,
        options.params,
        dict(options.inputs),
        options.out_dir.resolve(),
        options.checkpoint_dir.resolve(),
    )
    try:
        result = launch(
            training,
            name=options.run,
            folder=options.folder,
            cluster=options.cluster,
            settings=read(SlurmSettings, options.slurm, "slurm"),
        )
    except JobFailed as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        raise InputError(
            options.folder, f"cannot be used ({error})", "free space or choose another"
        ) from None
    ending = f"diverged ({result['diverged']})" if result["diverged"] else f"loss {result['loss']}"
    print(f"{options.run}: {result['step']} steps, {ending}")


if __name__ == "__main__":
    arguments.run(main)
