"""Scoring against GluonTS and fev: the same forecasts of the same data, both sides in this process.

    python benchmarks/bench_scoring.py --data DIR [--only ett1 ...] [--json FILE]
    python benchmarks/bench_scoring.py --points 40000000
    python benchmarks/bench_scoring.py --steps 20000000
    python benchmarks/bench_scoring.py --cold

``--data`` holds ``gift_eval/`` and ``fev/`` in the benchmarks' layouts. Seasonal Naive is forecast once by
this package, outside the clock; each side then scores those forecasts: windows, scales, metrics, data read
before. ``end to end`` is this package reading, forecasting and scoring, against fev reading and scoring or
GluonTS scoring alone. Both sides' metrics must agree. ``--points`` scores a made data set of that many
forecast points for its peak memory, ``--steps`` 20 windows of one series of that many steps, ``--cold`` a
small config by the command, from the start of the process; both count CPU seconds.
"""

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HOME", tempfile.mkdtemp(prefix="bench_scoring_"))
warnings.filterwarnings("ignore")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np  # noqa: E402

from specseq.models.seasonal_naive import SeasonalNaive  # noqa: E402
from specseq.scoring.evaluate import score  # noqa: E402
from specseq.scoring.evaluation import Evaluation  # noqa: E402
from specseq.scoring.fev import FevEvaluation, fev_evaluations  # noqa: E402
from specseq.scoring.forecasting import forecast  # noqa: E402
from specseq.scoring.gift_eval import GiftEvaluation, gift_evaluations  # noqa: E402
from specseq.scoring.metrics import LEVELS, window_sums  # noqa: E402


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Best wall time in seconds, and the result."""
    best, result = float("inf"), None
    for _ in range(repeats):
        begin = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - begin)
    return best, result


def prepared(evaluation: Evaluation, forecaster: SeasonalNaive) -> list[tuple[Any, np.ndarray]]:
    """Every batch with its forecasts."""
    query, name = evaluation.query, evaluation.name
    return [(b, forecast(forecaster, b.windows, query, name)) for b in evaluation.batches(2_000_000)]


def pooled(evaluation: Evaluation, made: list[tuple[Any, np.ndarray]]) -> dict[str, float]:
    """Score forecasts that stand ready."""
    totals = evaluation.totals()
    for batch, quantiles in made:
        sums = window_sums(batch.windows.targets(), quantiles)
        totals.add(sums, evaluation.seasonal_errors(batch), batch.pool)
    return evaluation.metrics(totals)


def gluonts_scores(
    evaluation: GiftEvaluation, made: list[tuple[Any, np.ndarray]]
) -> Callable[[], dict[str, float]]:
    """GluonTS on the same windows and forecasts, as the benchmark's notebooks call it."""
    import pandas as pd
    from gluonts.dataset.split import split
    from gluonts.model import evaluate_forecasts
    from gluonts.model.forecast import QuantileForecast

    from tests.scoring.gluonts_oracle import METRICS

    config = evaluation.config
    alias = {"S": "s", "T": "min", "H": "h", "A": "Y"}
    freq = evaluation.query.freq[:-1] + alias.get(evaluation.query.freq[-1], evaluation.query.freq[-1])
    entries = [
        {
            "item_id": f"{block.item_id[row]}_{k}",
            "start": pd.Period("2020-01-01", freq=freq),
            "target": values,
        }
        for block in evaluation.data.blocks
        for row in range(len(block))
        for k, values in enumerate(block.target(row))
    ]
    _, template = split(entries, offset=-config.horizon * config.windows)
    data = template.generate_instances(config.horizon, windows=config.windows, distance=config.horizon)
    keys = [str(level) for level in LEVELS]
    start = pd.Period("2021-01-01", freq=freq)
    forecasts = [QuantileForecast(array, start, keys) for _, quantiles in made for array in quantiles]

    def run() -> dict[str, float]:
        row = evaluate_forecasts(
            forecasts, test_data=data, metrics=METRICS, batch_size=512, seasonality=config.season_length
        ).iloc[0]
        return {f"eval_metrics/{name}": float(row[name]) for name in row.index}

    return run


def fev_scores(
    evaluation: FevEvaluation, made: list[tuple[Any, np.ndarray]], root: Path
) -> tuple[float, Callable[[], dict[str, float]]]:
    """fev on the same windows and forecasts: seconds to read the data, and the scoring."""
    import datasets
    import fev
    import pyarrow as pa

    datasets.disable_caching()
    task = evaluation.task
    ours: dict[tuple[int, int], list[np.ndarray]] = {}
    for batch, quantiles in made:
        for target, window, answer in zip(*batch.pool, quantiles.astype(np.float64), strict=True):
            ours.setdefault((int(window), int(target)), []).append(answer)
    predictions = []
    for window in range(task.windows):
        tables = {}
        for target, name in enumerate(task.targets):
            stacked = np.stack(ours[window, target])
            columns = {"predictions": stacked[:, 4]} | {str(q): stacked[:, i] for i, q in enumerate(LEVELS)}
            arrays = {k: pa.array(list(v), pa.list_(pa.float64())) for k, v in columns.items()}
            tables[name] = datasets.Dataset(pa.table(arrays))
        predictions.append(datasets.DatasetDict(tables))

    def load() -> fev.Task:
        theirs = fev.Task(
            dataset_path=str(sorted((root / task.dataset).glob("*.parquet"))[0]),
            horizon=task.horizon,
            num_windows=task.windows,
            seasonality=task.season_length,
            target=list(task.targets),
            eval_metric="SQL",
            extra_metrics=["MASE", {"name": "WAPE", "epsilon": 1.0}, {"name": "WQL", "epsilon": 1.0}],
            quantile_levels=list(LEVELS),
        )
        theirs.load_full_dataset(num_proc=1)
        return theirs

    seconds, theirs = timed(load)

    def run() -> dict[str, float]:
        summary = theirs.evaluation_summary(predictions, model_name="x")
        return {name: summary[name] for name in ("SQL", "MASE", "WAPE", "WQL")}

    return seconds, run


def compare(benchmark: str, root: Path, only: list[str], rows: list[dict[str, Any]]) -> None:
    """Time both sides on every config or task."""
    if benchmark == "gift_eval":
        evaluations, naive = gift_evaluations(root, only=only), SeasonalNaive()
    else:
        evaluations, naive = fev_evaluations(root, only=only), SeasonalNaive.fev()
    for evaluation in evaluations:
        made = prepared(evaluation, naive)
        if isinstance(evaluation, GiftEvaluation):
            reading, other, tolerance = 0.0, gluonts_scores(evaluation, made), 1e-5
        else:
            (reading, other), tolerance = fev_scores(evaluation, made, root), 1e-9
        theirs, wanted = timed(other)
        ours, found = timed(lambda e=evaluation, m=made: pooled(e, m), 3)

        def whole(evaluation: Evaluation = evaluation) -> dict[str, float]:
            evaluation.close()
            return score(evaluation, naive)

        end_to_end, again = timed(whole, 3)
        for name, value in wanted.items():
            for mine in (found[name], again[name]):
                if not np.isclose(mine, value, rtol=tolerance, equal_nan=True):
                    raise SystemExit(f"{evaluation.name} {name}: {mine} against {value}")
        rows.append(
            {
                "benchmark": benchmark,
                "config": evaluation.name,
                "points": evaluation.points,
                "theirs_s": theirs,
                "theirs_end_to_end_s": theirs + reading,
                "ours_s": ours,
                "end_to_end_s": end_to_end,
            }
        )
        print(
            f"{evaluation.name:32s} {evaluation.points:8d} points  theirs {theirs:7.3f} s  ours {ours:7.4f} s"
            f" {theirs / ours:6.0f}x  end to end {end_to_end:7.4f} s {(theirs + reading) / end_to_end:6.0f}x",
            flush=True,
        )


def peak_memory(points: int) -> dict[str, Any]:
    """Score a made data set of ``points`` forecast points; peak memory of the process, mapped data too."""
    from specseq.series.arrow_writer import Item, write_folder

    horizon, length, part = 720, 1500, 5000
    count = -(-points // horizon)
    pattern = np.random.default_rng(0).normal(size=length).cumsum().astype(np.float32)
    start = np.datetime64("2020-01-01", "s")
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, count, part):
            numbers = range(first, min(first + part, count))
            items = [Item(str(number), start, "H", pattern + number) for number in numbers]
            write_folder(Path(folder) / f"part{first}" / "H", items)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        evaluations = gift_evaluations(folder, ["long"])
        seconds, _ = timed(lambda: [score(evaluation, SeasonalNaive()) for evaluation in evaluations])
        total = sum(evaluation.points for evaluation in evaluations)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"points": total, "seconds": seconds, "peak_gb": peak, "peak_gb_before_scoring": before}


def long_series(steps: int) -> dict[str, Any]:
    """Score 20 windows of one series: CPU seconds, and the peak memory of the process."""
    from specseq.series.arrow_writer import Item, write_folder

    values = np.random.default_rng(0).normal(size=steps).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder) / "x", [Item("one", np.datetime64("2000-01-01", "s"), "T", values)])
        (evaluation,) = gift_evaluations(folder, ["short"])
        begin = time.process_time()
        score(evaluation, SeasonalNaive())
        spent = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"steps": steps, "windows": evaluation.config.windows, "cpu_seconds": spent, "peak_gb": peak}


def cold() -> dict[str, Any]:
    """CPU seconds of ``specseq score`` on two series of 300 steps, the whole process; the least of five."""
    from specseq.series.arrow_writer import Item, write_folder

    spent = []
    with tempfile.TemporaryDirectory() as folder:
        start = np.datetime64("2020-01-01", "s")
        write_folder(Path(folder) / "x", [Item(f"i{n}", start, "H", np.arange(300.0)) for n in range(2)])
        for number in range(5):
            words = ["score", "gift_eval", "--forecaster", "seasonal_naive", "--data", folder]
            out = Path(folder) / f"out{number}.parquet"
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "specseq.cli", *words, "--out", str(out)]
            subprocess.run(command, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"cpu_seconds": min(spent)}


def main() -> None:
    """Run and print the table."""
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with gift_eval/ and fev/")
    parser.add_argument("--only", nargs="+", default=[], help="data sets or tasks")
    parser.add_argument("--benchmark", choices=["gift_eval", "fev"], help="one of the two only")
    parser.add_argument("--points", type=int, help="measure peak memory at so many forecast points instead")
    parser.add_argument("--steps", type=int, help="score one series of so many steps instead")
    parser.add_argument("--cold", action="store_true", help="score a small config by the command instead")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    if options.points:
        result: dict[str, Any] = {"memory": peak_memory(options.points)}
        print(json.dumps(result["memory"]))
    elif options.steps or options.cold:
        result = {"series": long_series(options.steps)} if options.steps else {"cold": cold()}
        print(json.dumps(result))
    elif options.data:
        rows: list[dict[str, Any]] = []
        for benchmark in [options.benchmark] if options.benchmark else ["gift_eval", "fev"]:
            compare(benchmark, options.data / benchmark, options.only, rows)
        result = {"rows": rows, "ratios": {}}
        for benchmark in dict.fromkeys(row["benchmark"] for row in rows):
            chosen = [row for row in rows if row["benchmark"] == benchmark]
            keys = ("theirs_s", "ours_s", "theirs_end_to_end_s", "end_to_end_s")
            theirs, ours, their_whole, whole = (sum(row[key] for row in chosen) for key in keys)
            ratios = {"configs": len(chosen), "scoring": theirs / ours, "end_to_end": their_whole / whole}
            result["ratios"][benchmark] = ratios
            print(
                f"{benchmark}, {len(chosen)} configs: theirs {theirs:.2f} s, ours {ours:.3f} s "
                f"({theirs / ours:.0f}x), end to end {their_whole:.2f} s and {whole:.3f} s "
                f"({their_whole / whole:.0f}x)"
            )
    else:
        parser.error("give --data, --points, --steps or --cold")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
