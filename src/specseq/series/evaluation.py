"""The manifest of a folder of evaluation sets in GIFT-Eval's layout."""

import json
from pathlib import Path
from typing import Any

from specseq.series.arrow import find_folders, open_folder
from specseq.series.hub import check_finished
from specseq.series.scan import scan_folder
from specseq.series.store import FORMAT, file_digest
from specseq.tables.files import write_text


class _Discard:
    """A file that discards everything."""

    def write(self, data: bytes) -> int:
        return len(data)


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
        scan = scan_folder(folder, 1, _Discard())
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
