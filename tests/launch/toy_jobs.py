"""Functions light enough to be launched many times; each says in a file that it ran."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.launch.files import write_json
from specseq.training.interrupt import Interrupted, Requests


@dataclass(frozen=True)
class Count:
    """Writes its process number to ``runs``, waits, writes it to ``waited``, then ends as ``ending`` says."""

    runs: Path
    seconds: float = 0.0
    ending: str = "result"

    def __call__(self, requests: Requests) -> Mapping[str, Any]:
        with self.runs.open("a") as handle:
            handle.write(f"{os.getpid()}\n")
        for _ in range(round(self.seconds / 0.02)):
            time.sleep(0.02)
            if requests.leave:
                raise Interrupted("left as asked")
        with self.runs.with_name("waited").open("a") as handle:
            handle.write(f"{os.getpid()}\n")
        if self.ending == "input":
            raise InputError("training.lr", "'fast' is not a number")
        if self.ending == "error":
            raise RuntimeError("something broke")
        if self.ending == "crash":
            os._exit(3)
        return {"value": 42}


@dataclass(frozen=True)
class Surroundings:
    """Writes to ``folder`` what each process of a job finds around it."""

    folder: Path

    def __call__(self, requests: Requests) -> Mapping[str, Any]:
        names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "CUDA_VISIBLE_DEVICES")
        found = {name: os.environ.get(name) for name in names}
        write_json(self.folder / f"{found['RANK']}.json", found)
        return {"value": 42}
