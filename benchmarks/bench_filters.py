"""Speed of filters: designs a second, and the operators beside a Python loop and ``scipy.signal.lfilter``.

Every ratio comes from runs that alternate in one process on one thread; the best of several counts, in
CPU seconds, which other load on the machine disturbs least.

    python benchmarks/bench_filters.py [--rows 1024] [--length 4096] [--json FILE]
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.signal import lfilter

from specseq.filters import design, operators

TAPS = (0.05, -0.202013, 0.02, -0.280941)


def python_loop(z: np.ndarray, taps: tuple[float, ...], recursive: bool, path: np.ndarray) -> np.ndarray:
    """What a plain implementation does: one time step after the other for one row."""
    out = z.copy()
    source = out if recursive else path
    for step in range(len(z)):
        for lag, tap in enumerate(taps, 1):
            if step >= lag:
                out[step] -= tap * source[step - lag]
    return out


def best(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Least CPU seconds of each, run in turn."""
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.process_time()
            run()
            least[name] = min(least[name], time.process_time() - start)
    return least


def operator_times(rows: int, length: int, kind: type, repeats: int) -> list[dict[str, object]]:
    """Seconds and ratios of each operator in one precision."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(rows, length)).astype(kind)
    z = rng.normal(size=(rows, length)).astype(kind)
    tail = rng.normal(size=(rows, len(TAPS))).astype(kind)
    coefficients, one = np.array([1, *TAPS], kind), np.ones(1, kind)
    y_BT, z_BT, tail_BM = torch.from_numpy(y), torch.from_numpy(z), torch.from_numpy(tail)
    taps = torch.tensor(TAPS, dtype=y_BT.dtype, requires_grad=True)
    slope = torch.ones_like(y_BT)
    shared = {
        "forward": lambda: operators.forward(y_BT, taps),
        "self reversal": lambda: operators.self_reversal(z_BT, tail_BM, taps),
        "oracle reversal": lambda: operators.path_reversal(z_BT, y_BT, tail_BM, taps),
    }
    seconds = best(
        {
            **shared,
            "lfilter forward": lambda: lfilter(coefficients, one, y),
            "lfilter self reversal": lambda: lfilter(one, coefficients, z),
            "lfilter oracle reversal": lambda: (
                z - lfilter(coefficients - np.eye(1, 5, 0, dtype=kind)[0], one, y)
            ),
            **{f"{name}, gradient": (lambda run=run: run().backward(slope)) for name, run in shared.items()},
        },
        repeats,
    )
    sample = min(rows, 4)
    table = []
    for name in shared:
        start = time.process_time()
        for row in range(sample):
            python_loop(z[row], TAPS, name == "self reversal", y[row])
        loop = (time.process_time() - start) * rows / sample
        table.append(
            {
                "operator": name,
                "dtype": np.dtype(kind).name,
                "seconds": seconds[name],
                "with_gradient_seconds": seconds[f"{name}, gradient"],
                "lfilter_seconds": seconds[f"lfilter {name}"],
                "ratio_to_lfilter": seconds[name] / seconds[f"lfilter {name}"],
                "python_loop_seconds": loop,
                "speedup_over_loop": loop / seconds[name],
            }
        )
    return table


def design_time() -> float:
    """Seconds for 200 designs with diagnostics left out: degrees 1 to 10, twenty weights from 0.05 to 100."""
    start = time.process_time()
    for degree in range(1, 11):
        for lam in np.geomspace(0.05, 100, 20):
            design({"family": "lyapunov", "degree": degree, "lam": float(lam)})
    return time.process_time() - start


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description="Speed of filter designs and operators.")
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = []
    for kind in (np.float64, np.float32):
        table += operator_times(options.rows, options.length, kind, options.repeats)
    seconds = design_time()
    print(f"{options.rows} x {options.length}, {len(TAPS)} taps, one thread, CPU time")
    print(
        f"{'operator':<16} {'dtype':<8} {'ms':>7} {'lfilter':>8} {'ratio':>6} {'loop x':>7} {'+grad ms':>9}"
    )
    for row in table:
        print(
            f"{row['operator']:<16} {row['dtype']:<8} {1e3 * row['seconds']:7.1f}"
            f" {1e3 * row['lfilter_seconds']:8.1f} {row['ratio_to_lfilter']:6.2f}"
            f" {row['speedup_over_loop']:7.0f} {1e3 * row['with_gradient_seconds']:9.1f}"
        )
    print(f"200 Lyapunov designs: {seconds:.2f} s")
    if options.json:
        options.json.write_text(json.dumps({"operators": table, "designs_200_seconds": seconds}, indent=1))


if __name__ == "__main__":
    main()
