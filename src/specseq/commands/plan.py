"""``specseq plan``: the runs of a scale, or one run's parameters and the file that sets each."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from specseq.studies.config import AUTO, load_plan
from specseq.sweeps import Plan


def add_config(parser: argparse.ArgumentParser) -> None:
    """The options that say which config is meant, as snakemake has them."""
    parser.add_argument(
        "--scale", help="scale (default: that of config.yaml; if that is auto, the scale that ran last)"
    )
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], help="further config files")
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="config values")
    parser.add_argument(
        "--root", type=Path, default=Path(), help="folder of the workflow (default: this one)"
    )


def plan_of(options: argparse.Namespace) -> tuple[Plan, str]:
    """The plan that options of :func:`add_config` mean, and its scale.

    Raises:
        InputError: the config is wrong.
    """
    plan = load_plan(options.root, options.configfile, options.config)
    given = [content["scale"] for _, content in plan.config.sources if "scale" in content]
    return plan, options.scale or (_latest(plan, options.root) if given[-1] == AUTO else plan.default)


def _latest(plan: Plan, root: Path) -> str:
    """The scale whose stages were asked for last, or the default."""
    asked = {path: path.stat().st_mtime for path in (root / "results").glob("*/requests/*")}
    scales = [path.parts[-3] for path in sorted(asked, key=lambda path: asked[path])]
    return next((scale for scale in reversed(scales) if scale in plan.scales), plan.default)


def main(given: Sequence[str]) -> None:
    """Print runs or parameters."""
    parser = argparse.ArgumentParser(
        prog="specseq plan",
        description="List the runs of a scale, or print the parameters of one run, each with the file that "
        "sets it and the place in that file.",
    )
    parser.add_argument("run", nargs="?", help="run id, such as zeta/models/baseline_seed0")
    parser.add_argument("--study", help="list only runs of this study")
    parser.add_argument("--json", action="store_true", help="print JSON without places")
    add_config(parser)
    options = parser.parse_args(given)
    plan, scale = plan_of(options)
    if options.run is None:
        runs = {run: spec for run, spec in plan.runs(scale).items() if options.study in (None, spec["study"])}
        print(json.dumps(runs, indent=1) if options.json else "\n".join(runs))
        return
    params = plan.run(scale, options.run)
    if options.json:
        print(json.dumps(params, indent=1))
        return
    rows = [
        (".".join(key), json.dumps(value), plan.at(scale).place(options.run, key))
        for key, value in _leaves(params)
        if key != ("study",)
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, place in rows:
        print(f"{name:{widths[0]}}  {value:{min(widths[1], 24)}}  {place}")


def _leaves(params: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value
