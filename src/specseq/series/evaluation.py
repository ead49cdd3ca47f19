"""Evaluation sets in GIFT-Eval's layout: their manifest, and how their test windows are laid out.

Source: Aksu et al. 2024, arXiv:2410.10393, and the package ``gift_eval``.
"""

import json
import math
from pathlib import Path
from typing import Any

from specseq.series.arrow import find_folders, open_folder
from specseq.series.frequency import Frequency
from specseq.series.hub import check_finished
from specseq.series.scan import scan_folder
from specseq.series.store import FORMAT, file_digest
from specseq.tables.files import write_text

TERMS = {"short": 1, "medium": 10, "long": 15}
# Prediction lengths of the short term by frequency unit. GIFT-Eval has quarterly and yearly data in M4 only;
# the lengths of M4 stand in for other data of those frequencies.
SHORT_HORIZON = {"S": 60, "T": 48, "H": 48, "D": 30, "B": 30, "W": 8, "M": 12, "Q": 8, "A": 6}
_SHORT_HORIZON_M4 = SHORT_HORIZON | {"D": 14, "W": 13, "M": 18}
_TEST_SHARE, _MOST_WINDOWS = 0.1, 20


def prediction_length(folder: str, frequency: Frequency, term: str) -> int:
    """Steps to forecast: set by the unit of the stated frequency, times 1, 10 or 15 for the term."""
    horizons = _SHORT_HORIZON_M4 if "m4" in folder.lower() else SHORT_HORIZON
    return horizons[frequency.unit] * TERMS[term]


def window_count(folder: str, shortest: int, horizon: int) -> int:
    """Windows that cover a tenth of the shortest series, 1 to 20; always 1 for M4."""
    if "m4" in folder.lower():
        return 1
    return min(max(1, math.ceil(_TEST_SHARE * shortest / horizon)), _MOST_WINDOWS)


def evaluation_manifest(root: str | Path, target: str | Path) -> dict[str, Any]:
    """Describe every evaluation set below ``root`` and write the description as JSON.

    Every shard is read once, so a damaged one is found here rather than during an evaluation.

    Args:
        root: folder with ``key`` or ``key/freq`` folders.
        target: the manifest to write; it states the folder relative to itself if the folder lies beside it,
            else as an absolute path.

    Returns:
        The manifest: ``folder`` and, for each set, items, shortest length, variates, frequency, skipped
        (series unusable for training, such as constant ones, which are evaluated nonetheless), licence,
        source and checksums.

    Raises:
        InputError: no set, an unfinished download, or a damaged shard.
    """
    root, target = Path(root).resolve(), Path(target).resolve()
    check_finished(root)
    sets = {}
    for name, path in find_folders(root, depth=2).items():
        folder = open_folder(path)
        scan = scan_folder(folder, 1)
        lengths = scan.index.column("length").to_pylist()
        sets[name] = {
            "series": scan.series,
            "shortest": min(lengths, default=0),
            "steps": scan.steps,
            "variates": list(scan.variates),
            "frequencies": scan.frequencies,
            "missing_points": scan.missing,
            "infinite_points": scan.infinite,
            "skipped": dict(sorted(scan.skipped.items())),
            "licence": str(folder.info.get("license") or "not stated"),
            "source": str(folder.info.get("homepage") or "not stated"),
            "sha256": {shard.name: file_digest(shard) for shard in folder.shards},
        }
    inside = root.is_relative_to(target.parent)
    manifest = {
        "format": FORMAT,
        "folder": str(root.relative_to(target.parent) if inside else root),
        "datasets": sets,
    }
    write_text(target, json.dumps(manifest, indent=1) + "\n")
    return manifest
