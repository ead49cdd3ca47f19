"""A copy of the workflow to run snakemake in, sharing nothing with the checkout but the library's code."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Workspace:
    """A folder with the workflow in it."""

    folder: Path

    @property
    def config(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "config.yaml").read_text())

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change config.yaml in place."""
        config = self.config
        change(config)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def declare(self, studies: dict[str, Any], data: dict[str, Any] | None = None) -> None:
        """Make these the only studies, the same at every scale.

        Args:
            studies: their ``base`` and ``sweeps``.
            data: what the smoke scale says of data; as it is where missing.
        """
        only_studies(self.folder, studies, data)

    def snakemake(self, *arguments: str, check: bool = True) -> str:
        """Run snakemake here; returns everything it printed."""
        done = subprocess.run(
            [str(BIN / "snakemake"), "--cores", "2", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": f"{self.folder}/src:{self.folder}/own"},
        )
        output = done.stdout + done.stderr
        assert not check or done.returncode == 0, output[-6000:]
        return output

    def planned(self, *targets: str, config: Sequence[str] = ()) -> dict[str, int]:
        """Jobs that a dry run names, ``{rule: count}``; empty when nothing is to be done."""
        options = ["--config", *config] if config else []
        output = self.snakemake("--dry-run", "--quiet", "rules", *options, "--", *targets)
        table = re.search(r"^job +count\n[- ]+\n(.*?)^total", output, re.S | re.M)
        rows = (line.split() for line in table[1].splitlines()) if table else []
        return {rule: int(count) for rule, count in rows}


def only_studies(folder: Path, studies: dict[str, Any], data: dict[str, Any] | None = None) -> None:
    """Leave of a workflow's studies those given: see ``Workspace.declare``."""
    for path in (folder / "workflow/studies").glob("*/sweeps.yaml"):
        path.unlink()
    for path in (folder / "workflow/scales").glob("*.yaml"):
        scale = yaml.safe_load(path.read_text())
        scale.pop("studies", None)
        if data is not None and path.stem == "smoke":
            scale["data"] = data
        path.write_text(yaml.safe_dump(scale))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "studies": studies}, sort_keys=False))


def copy_workflow(folder: Path) -> Workspace:
    for name in ("workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    (folder / "default").symlink_to("workflow/profiles/default")
    (folder / "slurm").symlink_to("workflow/profiles/slurm")
    return Workspace(folder)
