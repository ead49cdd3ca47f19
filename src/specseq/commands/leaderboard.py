"""``specseq leaderboard``: aggregate published results of GIFT-Eval or FEV-Bench, with yours added."""

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specseq.commands.options import finite, format_rows
from specseq.errors import InputError
from specseq.progress import say_left_out
from specseq.scoring import leaderboard as boards
from specseq.scoring.audit_results import flags
from specseq.scoring.submissions import BENCHMARKS, FEV, read_folder

Row = dict[str, Any]
_SHOWN = {
    "gift_eval": ("model", "n", "MASE", "CRPS", "MASE_raw", "CRPS_raw", "CRPS_rank", "missing", "flags"),
    "fev": (
        *("model", "n", "win_rate", "skill_score"),
        *("skill_score_low", "skill_score_high", "missing", "flags"),
    ),
}
_COMPARED: tuple[str, ...] = (
    *("metric", "tasks", "wins", "losses", "ratio", "low", "high"),
    *("sign_p", "wilcoxon_p", "verdict"),
)


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
        help="your result, named by its column 'model', or by the file if that name is taken; may be "
        "repeated",
    )
    parser.add_argument("--metric", choices=sorted(FEV.metrics), help="FEV-Bench's metric (default SQL)")
    parser.add_argument("--by", choices=boards.GROUPS, help="GIFT-Eval: one row per model and group")
    parser.add_argument(
        "--missing",
        choices=boards.MISSING,
        help="partial results: report an error (default for GIFT-Eval and added files), skip the result, "
        "drop the task for all, or impute Seasonal Naive's errors (default for FEV-Bench)",
    )
    parser.add_argument(
        "--keep-leaked",
        action="store_true",
        help="FEV-Bench: keep errors on tasks that a model was trained on",
    )
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="paired comparison of two models")
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples (default 1000)")
    parser.add_argument("--top", type=int, default=0, metavar="N", help="print only the best N")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write all columns as .csv, .json or .parquet"
    )
    return parser


def main(arguments: Sequence[str]) -> None:
    """Print the leaderboard, and write it where asked."""
    options = build_parser().parse_args(arguments)
    _check(options)
    benchmark = BENCHMARKS[options.benchmark]
    submissions = read_folder(options.results, benchmark, options.add, say_left_out)
    added = {path.resolve() for path in options.add}
    mine = frozenset(s.model for s in submissions if s.source.resolve() in added)
    rules = boards.Rules(
        options.missing or ("error" if benchmark.name == "gift_eval" else "impute"),
        strict=frozenset() if options.missing else mine,
        leakage=not options.keep_leaked,
        left_out=say_left_out,
    )
    metric = options.metric or "SQL"
    if options.compare:
        metrics = ("MASE", "CRPS") if benchmark.name == "gift_eval" else (metric,)
        rows = boards.compare_models(
            submissions, benchmark, tuple(options.compare), metrics, rules, options.resamples
        )
        shown = _COMPARED
    elif benchmark.name == "gift_eval":
        rows = boards.gift_eval_leaderboard(
            submissions, benchmark, rules, by=options.by, resamples=options.resamples
        )
        shown = ("model", options.by, *_SHOWN["gift_eval"][1:]) if options.by else _SHOWN["gift_eval"]
    else:
        rows = boards.fev_leaderboard(
            submissions, benchmark, rules, metric=metric, resamples=options.resamples
        )
        shown = _SHOWN["fev"]
    if not options.compare:
        found = flags(submissions, benchmark)
        rows = [{**row, "flags": found.get(row["model"], "")} for row in rows]
    if options.out:
        _write(options.out, rows, vars(options))
    print(format_rows(rows[: options.top or None], shown))


def _check(options: argparse.Namespace) -> None:
    """Refuse numbers out of range and options that would have no effect."""
    for name, least, most in (("resamples", 1, 100_000), ("top", 0, 1_000_000)):
        if not least <= (value := getattr(options, name)) <= most:
            raise InputError(f"--{name}", f"{value} is out of range", f"give {least} to {most}")
    other = {"gift_eval": ("metric", "keep_leaked"), "fev": ("by",)}[options.benchmark]
    if given := [name for name in other if getattr(options, name)]:
        name = given[0].replace("_", "-")
        raise InputError(f"--{name}", f"does not apply to {options.benchmark}", "leave it out")
    if options.compare and len(set(options.compare)) == 1:
        raise InputError("--compare", f"names {options.compare[0]} twice", "give two models")
    if options.compare and (given := [name for name in ("by", "top") if getattr(options, name)]):
        raise InputError(f"--{given[0]}", "has no effect on --compare", "leave it out")


def _write(target: Path, rows: Sequence[Row], options: dict[str, Any]) -> None:
    from specseq.tables.files import atomic_path, write_text

    if target.suffix == ".json":
        known = [{name: finite(value) for name, value in row.items()} for row in rows]
        write_text(target, json.dumps(known, indent=1, allow_nan=False) + "\n")
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
