"""TensorBoard scalars, for watching a run; the results are in its Parquet."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any


class Scalars:
    """Writes scalars while it is open; does nothing where it is not wanted."""

    def __init__(self, folder: Path, step: int, wanted: bool) -> None:
        """
        Args:
            folder: of the event files.
            step: of the checkpoint the run goes on from; what an earlier process wrote beyond it is hidden.
            wanted: whether to write at all.
        """
        self._writer: Any = None
        if wanted:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write each metric under its name."""
        if self._writer is not None:
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, step)

    def __enter__(self) -> "Scalars":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
