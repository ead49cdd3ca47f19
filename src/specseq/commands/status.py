"""``specseq status``: how each run stands, with or without a workflow running."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from specseq.commands.plan import add_config, plan_of
from specseq.errors import InputError
from specseq.launch.launcher import TICKET
from specseq.launch.status import STATES, RunState, run_states, time_left
from specseq.progress import clock
from specseq.settings import near


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="specseq status",
        description="Show the state of each training run: done, running (step and time left), queued, failed "
        "(reason and log), interrupted (resumed by the next start) or waiting. If training runs on this "
        "machine, also show how long the rest will take. Runs started with --config or --configfile are "
        "listed after those of config.yaml.",
    )
    parser.add_argument("--study", help="only runs of this study")
    parser.add_argument(
        "--state", choices=STATES, action="append", help="only runs in this state; repeatable"
    )
    parser.add_argument("--watch", action="store_true", help="refresh every few seconds until interrupted")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per run")
    add_config(parser)
    return parser.parse_args(given)


def _print(states: Sequence[RunState], shown: Sequence[RunState], as_json: bool) -> None:
    if as_json:
        for state in shown:
            print(json.dumps(asdict(state), default=str))
        return
    width = max((len(state.run) for state in shown), default=0)
    for state in shown:
        log = f"  ({state.log})" if state.log and state.state in ("failed", "interrupted") else ""
        print(f"{state.run:{width}}  {state.state:11}  {state.detail}{log}".rstrip())
    counts = Counter(state.state for state in states)
    print("  ".join(f"{counts[name]} {name}" for name in STATES if counts[name]) or "no training runs")


def _print_time_left(states: Sequence[RunState], steps: Mapping[str, int]) -> None:
    """Print the time left, if local training is under way."""
    running = [state for state in states if state.state == "running"]
    if not any(state.seconds is not None for state in running):
        return
    seconds, unknown = time_left(states, steps)
    if not seconds:
        return
    besides = f"; not counting {', '.join(unknown)}, where no run has finished yet" if unknown else ""
    print(
        f"about {clock(seconds)} of training left, {len(running)} at a time, evaluations not counted{besides}"
    )


def _runs(options: argparse.Namespace) -> tuple[list[str], dict[str, int], Path]:
    """Runs of the plan, then those that have begun under another config; steps of the former; the results."""
    plan, scale = plan_of(options)
    results = options.root / "results" / scale
    planned = plan.runs(scale) if scale in plan.scales or not results.is_dir() else {}
    steps = {run: params["training"]["steps"] for run, params in planned.items() if "training" in params}
    begun = {
        path.parent.relative_to(results / folder).as_posix()
        for folder, name in (("jobs", TICKET), ("runs", "pretrain.parquet"))
        for path in (results / folder).glob(f"*/*/*/{name}")
    }
    runs = [*steps, *sorted(begun.difference(planned))]
    studies = dict.fromkeys([*plan.study_names, *(run.partition("/")[0] for run in runs)])
    if options.study not in (None, *studies):
        raise InputError("--study", f"no study is called '{options.study}'", near(options.study, studies))
    return [run for run in runs if options.study in (None, run.partition("/")[0])], steps, results


def main(given: Sequence[str]) -> int:
    """Print the states; status 1 if a run failed."""
    options = _arguments(given)
    runs, steps, results = _runs(options)
    try:
        while True:
            states = run_states(runs, results)
            if options.watch and sys.stdout.isatty():
                print("\033[2J\033[H", end="")
            shown = [state for state in states if not options.state or state.state in options.state]
            _print(states, shown, options.json)
            if not options.json:
                _print_time_left(states, steps)
            if not options.watch:
                return int(any(state.state == "failed" for state in states))
            sys.stdout.flush()
            time.sleep(5)
    except KeyboardInterrupt:
        return 0
