"""``specseq lotsa DIR``: what a folder of LOTSA sub-datasets holds, its size and its GIFT-Eval overlap."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from specseq.errors import InputError
from specseq.series import prepare
from specseq.series.arrow import find_folders, open_folder
from specseq.series.sampling import clipped_shares
from specseq.series.scan import scan_folder
from specseq.series.store import MANIFEST, read_manifest


def main(arguments: Sequence[str]) -> None:
    """Print the sub-datasets of a folder as a table or as JSON."""
    parser = argparse.ArgumentParser(
        prog="specseq lotsa",
        description="List LOTSA sub-datasets: series, time steps, frequency, variates, size, the share of "
        "draws under unweighted and weighted sampling, skipped series, and overlap with GIFT-Eval.",
        epilog="DIR is a folder of save_to_disk folders, as on the hub, or a corpus made by prepare_lotsa.",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder to describe")
    parser.add_argument("--min-length", type=int, default=16, help="shorter series count as skipped (16)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if options.min_length < 1:
        parser.error("--min-length must be at least 1")
    rows = describe(options.folder, options.min_length)
    if options.json:
        json.dump(rows, sys.stdout, indent=1)
        print()
    else:
        _print_table(rows, options.folder)


def describe(folder: Path, min_length: int) -> list[dict[str, Any]]:
    """One record per sub-dataset, as in a store's manifest, with its shares of draws.

    Raises:
        InputError: the folder holds no sub-dataset, or one of them is damaged.
    """
    if (folder / MANIFEST).is_file():
        datasets = read_manifest(folder).get("datasets")
        if not isinstance(datasets, dict) or not all(map(_is_record, datasets.values())):
            fault = "is not the manifest of a training corpus"
            raise InputError(folder / MANIFEST, fault, "give a store that prepare_lotsa made")
        rows = [{"name": name, **record} for name, record in datasets.items()]
    else:
        opened = {name: open_folder(path) for name, path in find_folders(folder).items()}
        rows = [
            {"name": name, **prepare.describe(name, one, scan_folder(one, min_length))}
            for name, one in opened.items()
        ]
    series = sum(row["series"] for row in rows) or 1
    weighted = clipped_shares(np.array([row["points"] for row in rows], np.float64)).tolist()
    for row, share in zip(rows, weighted, strict=True):
        row["share_unweighted"] = row["series"] / series
        row["share_weighted"] = share
    return rows


def _is_record(record: Any) -> bool:
    """Whether this is what a manifest says about a sub-dataset."""
    counts = ("series", "steps", "points", "bytes")
    return isinstance(record, dict) and all(isinstance(record.get(name), int) for name in counts)


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _short(number: float) -> str:
    """A count in three digits: 812, 39.1k, 1.38M."""
    for unit in ("", "k", "M"):
        if number < 999.5:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}G"


def _print_table(rows: Sequence[dict[str, Any]], folder: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        # A file or a pipe has no width to fit.
        console = Console(width=200)
    total = {key: sum(row[key] for row in rows) for key in ("series", "steps", "bytes")}
    skipped = sum(sum(row["skipped"].values()) for row in rows)
    overlapping = sum(row["gift_eval_overlap"] is not None for row in rows)
    table = Table(
        title=Text(str(folder)), box=box.SIMPLE_HEAD, show_footer=True, footer_style="bold", padding=(0, 1)
    )
    table.add_column("sub-dataset", footer=f"{len(rows)} in all", no_wrap=True)
    for heading, footer in (
        ("series", _short(total["series"])),
        ("steps", _short(total["steps"])),
        ("freq", ""),
        ("V", ""),
        ("MB", f"{total['bytes'] / 1e6:,.1f}"),
        ("draws", ""),
        ("weighted", ""),
        ("skipped", _short(skipped)),
    ):
        table.add_column(heading, footer=footer, justify="right", no_wrap=True)
    table.add_column("GIFT-Eval", footer=f"{overlapping} overlap" if overlapping else "", no_wrap=True)
    for row in rows:
        table.add_row(
            Text(row["name"]),  # a name is not markup
            _short(row["series"]),
            _short(row["steps"]),
            Text(" ".join(row["frequencies"])),
            _span(*row["variates"]),
            f"{row['bytes'] / 1e6:,.1f}",
            f"{row['share_unweighted']:.1%}",
            f"{row['share_weighted']:.1%}",
            _short(sum(row["skipped"].values())) if row["skipped"] else "",
            row["gift_eval_overlap"] or "",
        )
    console.print(table)
