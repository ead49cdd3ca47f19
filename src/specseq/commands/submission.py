"""``specseq submission``: write the files that the leaderboards of GIFT-Eval and FEV-Bench ask for."""

import argparse
import csv
import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.scoring.fev_tasks import official_tasks
from specseq.scoring.submission_files import (
    Declared,
    GiftEvalConfig,
    declare,
    write_fev,
    write_gift_eval,
)
from specseq.scoring.submissions import BENCHMARKS, read_flag
from specseq.settings import near, read
from specseq.tables import read_provenance

_FIELDS = [field.name for field in dataclasses.fields(GiftEvalConfig)]
_OPTIONAL = {"code_link"}


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="specseq submission",
        description="Write a submission from a complete file of scores. GIFT-Eval: all_results.csv and "
        "config.json. FEV-Bench: a summary as fev's leaderboard reads it.",
        epilog="example: "
        "specseq submission fev --scores mine.parquet --model Mine --trained-on none --out mine",
    )
    parser.add_argument("benchmark", choices=sorted(BENCHMARKS))
    parser.add_argument(
        "--scores", type=Path, required=True, metavar="FILE", help="result of 'specseq score'"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--model", metavar="NAME", help="name on the leaderboard")
    gift = parser.add_argument_group("GIFT-Eval: the fields of config.json, all required but --code-link")
    gift.add_argument("--config", type=Path, metavar="FILE", help="a config.json with these fields")
    for field in dataclasses.fields(GiftEvalConfig):
        if field.name != "model":
            text = GiftEvalConfig.__pydantic_fields__[field.name].description  # type: ignore[attr-defined]
            gift.add_argument(f"--{field.name.replace('_', '-')}", metavar="TEXT", help=text)
    fev = parser.add_argument_group("FEV-Bench: what the model was trained on, required")
    fev.add_argument("--trained-on", nargs="+", metavar="NAME", help="tasks or data sets, or the word none")
    fev.add_argument(
        "--declared",
        type=Path,
        metavar="FILE",
        help="instead of --trained-on: a CSV with task_name, trained_on_this_dataset and, optionally, "
        "training_time_s and inference_time_s",
    )
    return parser


def main(arguments: Sequence[str]) -> None:
    """Write the submission and name its files."""
    options = build_parser().parse_args(arguments)
    gift = ["config", *(name for name in _FIELDS if name != "model")]
    other = ["trained_on", "declared"] if options.benchmark == "gift_eval" else gift
    if given := [name for name in other if getattr(options, name) is not None]:
        option = given[0].replace("_", "-")
        raise InputError(f"--{option}", f"does not apply to {options.benchmark}", "leave it out")
    if options.benchmark == "gift_eval":
        paths = write_gift_eval(options.scores, _config(options), options.out)
    else:
        if not (options.model or "").strip():
            raise InputError("--model", "is missing", "give the name on the leaderboard")
        paths = [write_fev(options.scores, options.model, _declared(options), options.out)]
    for path in paths:
        print(path)


def _config(options: argparse.Namespace) -> GiftEvalConfig:
    """The config.json of a file, of options, or of both."""
    fields: dict[str, Any] = {}
    if options.config:
        try:
            fields = json.loads(options.config.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(options.config, f"not readable JSON ({error})", "give a config.json") from None
        if not isinstance(fields, dict):
            raise InputError(options.config, f"holds {fields!r} and no fields", "give a config.json")
    fields |= {name: getattr(options, name) for name in _FIELDS if getattr(options, name) is not None}
    if missing := [name for name in _FIELDS if name not in fields and name not in _OPTIONAL]:
        shown = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise InputError(
            "config.json", f"{len(missing)} fields are missing: {', '.join(missing)}", f"give {shown}"
        )
    return read(GiftEvalConfig, fields, str(options.config or "config.json"))


def _declared(options: argparse.Namespace) -> dict[str, Declared]:
    if (options.trained_on is None) == (options.declared is None):
        remedy = "give --trained-on NAME ..., --trained-on none, or --declared FILE"
        raise InputError("--trained-on", "does not say which data the model was trained on", remedy)
    if options.declared:
        made = _read_declared(options.declared)
    else:
        names = [name for name in options.trained_on if name.lower() != "none"]
        if 0 < len(names) < len(options.trained_on):
            raise InputError("--trained-on", f"says none and {names[0]}", "give names, or none alone")
        made = declare(names)
    seconds = (
        read_provenance(options.scores).get("seconds", {}) if options.scores.suffix == ".parquet" else {}
    )
    return {
        name: dataclasses.replace(one, inference_time_s=seconds.get(name))
        if one.inference_time_s is None
        else one
        for name, one in made.items()
    }


def _read_declared(path: Path) -> dict[str, Declared]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:  # spreadsheets write a byte-order mark
            reader = csv.DictReader(handle)
            lines, columns = list(reader), list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            path, f"not a readable CSV ({error})", "give task_name, trained_on_this_dataset"
        ) from None
    if absent := [name for name in ("task_name", "trained_on_this_dataset") if name not in columns]:
        raise InputError(path, f"column {absent[0]!r} is missing", near(absent[0], columns))
    counts = Counter(line["task_name"] for line in lines)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise InputError(path, f"{len(twice)} tasks appear twice, e.g. {twice[0]}", "declare each once")
    rows = {line["task_name"]: line for line in lines}
    tasks = official_tasks()
    if unknown := [name for name in rows if name not in tasks]:
        raise InputError(path, f"no task {unknown[0]!r}", near(str(unknown[0]), tasks))
    if missing := [name for name in tasks if name not in rows]:
        fault = f"says nothing of {len(missing)} of {len(tasks)} tasks, e.g. {missing[0]}"
        raise InputError(path, fault, "declare every task")
    return {name: _one(path, name, rows[name]) for name in tasks}


def _one(path: Path, task: str, row: dict[str, str]) -> Declared:
    where = f"{path}: {task}"
    flag = read_flag(text := row["trained_on_this_dataset"])
    if flag is None:
        raise InputError(where, f"trained_on_this_dataset is {text!r}", "give True or False")
    fields: dict[str, Any] = {"trained_on_this_dataset": flag}
    for name in ("training_time_s", "inference_time_s"):
        if row.get(name):
            try:
                fields[name] = float(row[name])
            except ValueError:
                raise InputError(where, f"{name} is {row[name]!r}", "give seconds") from None
    return read(Declared, fields, where)
