"""TensorBoard scalars for watching a run; the results themselves are in Parquet."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any


class Scalars:
    """Context manager that writes scalars, or nothing if disabled."""

    def __init__(self, folder: Path, step: int, enabled: bool) -> None:
        """
        Args:
            folder: folder of the event files.
            step: step that the run resumes from; later points of an earlier process are hidden.
            enabled: whether to write anything.
        """
        self._writer: Any = None
        if enabled:
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
