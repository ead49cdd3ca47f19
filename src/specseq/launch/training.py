"""A training run as work that can be done here or in a job: build a task, train it, write the results."""

import hashlib
import importlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specseq.errors import InputError
from specseq.sources import module_file, source_digest
from specseq.training.interrupt import Requests

if TYPE_CHECKING:
    from specseq.training.parallel import World

_WHOLE_FILES = 1 << 26
_FOLDER_FILES = 1 << 20


def input_digest(path: Path) -> str:
    """A digest of an input: contents of files up to 64 MiB and of small files in folders, sizes of others.

    Raises:
        InputError: it does not exist.
    """
    if not path.exists():
        raise InputError(path, "no such input", f"make it with: snakemake --cores all {path}")
    digest = hashlib.sha256()
    folder = path.is_dir()
    for part in sorted(path.rglob("*")) if folder else [path]:
        if part.is_file():
            size = part.stat().st_size
            digest.update(f"{part.relative_to(path) if folder else ''}:{size}:".encode())
            if size <= (_FOLDER_FILES if folder else _WHOLE_FILES):
                digest.update(part.read_bytes())
    return digest.hexdigest()[:16]


def training_code(build: str) -> str:
    """A digest of the source that trains a run, including its ``module:function``.

    Training that was begun by other code starts over.
    """
    return source_digest("launch/training.py", module_file(build.partition(":")[0]))


@dataclass(frozen=True)
class TrainingRun:
    """A run to train, sent to the process that does it.

    Attributes:
        build: ``module:function`` of the study's ``build(params, inputs) -> Task``.
        params: the run's resolved parameters.
        inputs: name and path of each input.
        out_dir: where ``weights.safetensors`` and ``pretrain.parquet`` go.
        checkpoint_dir: where checkpoints and TensorBoard scalars go.
    """

    build: str
    study: str
    run: str
    params: Mapping[str, Any]
    inputs: Mapping[str, Path]
    out_dir: Path
    checkpoint_dir: Path

    @property
    def outputs(self) -> tuple[Path, Path]:
        """The files that it leaves: the weights and the table of metrics."""
        return self.out_dir / "weights.safetensors", self.out_dir / "pretrain.parquet"

    def digest(self) -> str:
        """A digest of everything that decides the result, as it is now."""
        inputs = {name: input_digest(path) for name, path in self.inputs.items()}
        content = {
            "study": self.study,
            "build": self.build,
            "code": training_code(self.build),
            "params": dict(self.params),
            "inputs": inputs,
        }
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def progress(self) -> int:
        """The step of the newest checkpoint, of whatever digest; -1 without one."""
        steps = (path.stem.rpartition("_")[2] for path in self.checkpoint_dir.glob("checkpoint_*"))
        return max((int(step) for step in steps if step.isdigit()), default=-1)

    def forget(self) -> None:
        """Delete checkpoints and TensorBoard scalars."""
        shutil.rmtree(self.checkpoint_dir, ignore_errors=True)

    def __call__(self, digest: str, requests: Requests, world: "World") -> dict[str, Any]:
        """Train from the newest checkpoint to the end, or to where the run diverged, and write the outputs.

        Args:
            digest: what :meth:`digest` was when the run was planned.

        Returns:
            Steps taken, final loss, and why it diverged if it did; nothing but in the first process.

        Raises:
            InputError: parameters or inputs are wrong, or code or inputs have changed since the run was
                planned.
            Interrupted: the run saved its state and left as requested.
        """
        from specseq.tables import Provenance, long_table, write_parquet
        from specseq.training.checkpoint import save_weights
        from specseq.training.loop import train
        from specseq.training.parallel import joined

        provenance = Provenance("pretrain", self.params, run=self.run, seed=int(self.params.get("seed", 0)))
        module, name = self.build.split(":")
        build = getattr(importlib.import_module(module), name)
        # Checked after the imports, so that the digest is that of the code that was loaded.
        source_digest.cache_clear()
        if self.digest() != digest:
            fault = "have changed since the run was planned"
            raise InputError("code or inputs", fault, "run snakemake again")
        with joined(world):
            given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            if world.device.type == "cpu" and given not in ("", "-1", "NoDevFiles"):
                print(
                    f"torch finds no GPU, though CUDA_VISIBLE_DEVICES is {given}: using the CPU", flush=True
                )
            task = build(dict(self.params), dict(self.inputs))
            outcome = train(task, self.params, self.checkpoint_dir, digest, world=world, requests=requests)
            if not world.leads:
                return {}
        keys: dict[str, Any] = {"study": self.study, "run": self.run, "seed": provenance.seed}
        keys["benchmark"] = "pretrain"
        rows = [
            {**keys, "task": "valid" if metric.startswith("valid/") else "train"}
            | {"step": step, "metric": metric, "value": value}
            for step, metric, value in outcome.record
        ]
        if outcome.diverged is not None:
            rows.append({**keys, "task": "train", "step": outcome.step, "metric": "diverged", "value": 1.0})
        parameters = sum(p.numel() for p in task.model.parameters())
        provenance.device = outcome.device
        provenance.facts |= {
            **task.facts,
            "diverged": outcome.diverged,
            "resumed_from": outcome.resumed_from,
            "costs": dict(outcome.costs),
            "model_parameters": parameters,
            "inputs": {name: str(path) for name, path in self.inputs.items()},
            "run_digest": digest,
        }
        weights, table = self.outputs
        save_weights(weights, task.model, self.params, diverged=outcome.diverged)
        write_parquet(table, long_table(rows), provenance)
        return {"step": outcome.step, "loss": outcome.record.last("loss"), "diverged": outcome.diverged}
