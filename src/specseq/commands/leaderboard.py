"""``specseq leaderboard``: aggregate published results of GIFT-Eval or FEV-Bench, with yours added."""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.scoring import leaderboard as boards
from specseq.scoring.submissions import BENCHMARKS, FEV, Submission, read_folder, scores

Row = dict[str, Any]
_SHOWN = {
    "gift_eval": ("model", "n", "MASE", "CRPS", "MASE_raw", "CRPS_raw", "CRPS_rank", "missing"),
    "fev": ("model", "n", "win_rate", "skill_score", "skill_score_low", "skill_score_high", "missing"),
}


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="specseq leaderboard",
        description="Aggregate published results, read by column name, with yours added.",
        epilog="example: specseq leaderboard gift_eval --results published/gift_eval --add mine.csv --top 20",
    )
    parser.add_argument("benchmark", choices=sorted(BENCHMARKS))
    parser.add_argument(
        "--results",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of result files, or of MODEL/all_results.csv",
    )
    parser.add_argument(
        "--add",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="your result; it goes by its column 'model', or by the file's name where that is taken",
    )
    parser.add_argument("--metric", choices=sorted(FEV.metrics), default="SQL", help="FEV-Bench's metric")
    parser.add_argument("--by", choices=boards.GROUPS, help="GIFT-Eval: one row a model and group")
    parser.add_argument(
        "--missing",
        choices=boards.MISSING,
        help="what a partial result is: an error (default of GIFT-Eval and of added files), left out, a "
        "reason to leave the task out for all, or filled with Seasonal Naive's (default of FEV-Bench)",
    )
    parser.add_argument("--keep-leaked", action="store_true", help="FEV-Bench: no leakage imputation")
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="paired comparison of two models")
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples")
    parser.add_argument("--top", type=int, default=0, metavar="N", help="print the best N only")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write all columns as .csv, .json or .parquet"
    )
    return parser


def main(arguments: Sequence[str]) -> None:
    """Print the leaderboard, and write it where asked."""
    options = build_parser().parse_args(arguments)
    for name, least in (("resamples", 1), ("top", 0)):
        if (value := getattr(options, name)) < least:
            raise InputError(f"--{name}", f"{value} is too few", f"give {least} or more")
    benchmark = BENCHMARKS[options.benchmark]
    submissions = read_folder(options.results, benchmark, options.add)
    if options.compare:
        rows = _comparison(submissions, options)
        shown: tuple[str, ...] = (
            "metric",
            "tasks",
            "wins",
            "losses",
            "ratio",
            "low",
            "high",
            "sign_p",
            "wilcoxon_p",
            "verdict",
        )
    else:
        rows = _leaderboard(submissions, options)
        shown = _SHOWN[options.benchmark]
        if options.by:
            shown = ("model", options.by, *shown[1:])
    if options.out:
        _write(options.out, rows, vars(options))
    print(format_rows(rows[: options.top or None], [name for name in shown if name in rows[0]]))


def _leaderboard(submissions: Sequence[Submission], options: argparse.Namespace) -> list[Row]:
    added = {path.resolve() for path in options.add}
    mine = frozenset(s.model for s in submissions if s.source.resolve() in added)
    common: dict[str, Any] = {
        "strict": frozenset() if options.missing else mine,
        "resamples": options.resamples,
        "left_out": lambda text: print(f"left out: {text}", file=sys.stderr),
    }
    if options.benchmark == "gift_eval":
        missing = options.missing or "error"
        return boards.gift_eval_leaderboard(
            submissions, BENCHMARKS["gift_eval"], by=options.by, missing=missing, **common
        )
    return boards.fev_leaderboard(
        submissions,
        FEV,
        metric=options.metric,
        missing=options.missing or "impute",
        leakage=not options.keep_leaked,
        **common,
    )


def _comparison(submissions: Sequence[Submission], options: argparse.Namespace) -> list[Row]:
    from dataclasses import asdict

    from specseq.scoring.comparison import compare

    names = [submission.model for submission in submissions]
    for name in options.compare:
        if name not in names:
            near = get_close_matches(name, names, n=5, cutoff=0.4) or sorted(names)[:5]
            raise InputError(
                "--compare", f"no model '{name}'", f"there are {len(names)}, e.g. {', '.join(near)}"
            )
    a, b = (submissions[names.index(name)] for name in options.compare)
    metrics = ("MASE", "CRPS") if options.benchmark == "gift_eval" else (options.metric,)
    rows = []
    for metric in metrics:
        board = scores([a, b], tuple(dict.fromkeys(a.tasks + b.tasks)), metric)
        result = compare(board.values[:, 0], board.values[:, 1], resamples=options.resamples)
        rows.append(
            {"a": a.model, "b": b.model, "metric": metric, **asdict(result), "verdict": result.verdict}
        )
    return rows


def format_rows(rows: Sequence[Row], names: Sequence[str]) -> str:
    """A plain table for the terminal: numbers right, text left, four decimals."""
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(names, *cells, strict=True)]
    right = [isinstance(rows[0][name], int | float) for name in names]
    lines = []
    for line in ([*names], *cells):
        padded = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _write(target: Path, rows: Sequence[Row], options: dict[str, Any]) -> None:
    from specseq.tables.files import atomic_path, write_text

    if target.suffix == ".json":
        write_text(target, json.dumps(rows, indent=1) + "\n")
    elif target.suffix == ".csv":
        with atomic_path(target) as path, path.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    elif target.suffix == ".parquet":
        import pyarrow as pa

        from specseq.tables import Provenance, write_parquet

        parameters = {name: str(value) for name, value in options.items()}
        write_parquet(target, pa.Table.from_pylist(list(rows)), Provenance("leaderboard", parameters))
    else:
        raise InputError(target, "unknown kind of file", "use .csv, .json or .parquet")
