"""The recorded costs of a scale, ``docs/costs/<scale>.csv``, as ``specseq cost --csv`` writes them."""

from csv import DictReader
from pathlib import Path

ALL = "*"
Row = dict[str, str]


def recorded_costs(root: Path, scale: str) -> dict[tuple[str, str], Row]:
    """The rows by study and sweep; ``*`` stands for all. Empty where none are recorded."""
    path = root / "docs/costs" / f"{scale}.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        return {(row["study"], row["sweep"]): row for row in DictReader(lines)}
