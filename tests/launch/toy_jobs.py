"""Work light enough to be done many times; each process says in a file that it ran."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.launch.files import write_json
from specseq.training.interrupt import Interrupted, Requests
from specseq.training.parallel import World


@dataclass(frozen=True)
class Toy:
    """Work that leaves no file and has nothing to go on from."""

    plan: str = "d"
    outputs: tuple[Path, ...] = ()

    def digest(self) -> str:
        return self.plan

    def progress(self) -> int:
        return -1

    def forget(self) -> None:
        pass


@dataclass(frozen=True)
class Count(Toy):
    """Writes its process number to ``runs``, waits, writes it to ``waited``, then ends as ``ending`` says."""

    runs: Path = Path("runs")
    seconds: float = 0.0
    ending: str = "result"

    def __call__(self, digest: str, requests: Requests, world: World) -> Mapping[str, Any]:
        with self.runs.open("a") as handle:
            handle.write(f"{os.getpid()}\n")
        requests.watched = True
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
        return {"value": 42}


@dataclass(frozen=True)
class Surroundings(Toy):
    """Writes to ``folder`` what each process of a job finds around it."""

    folder: Path = Path()

    def __call__(self, digest: str, requests: Requests, world: World) -> Mapping[str, Any]:
        around = {"size": world.size, "local_rank": world.local_rank, "address": world.address}
        around["devices"] = os.environ.get("CUDA_VISIBLE_DEVICES")
        write_json(self.folder / f"{world.rank}.json", around)
        return {"value": 42}
