"""Synthetic published results in the true layouts, for the tests of leaderboard and audit."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

TASKS = [
    f"{key}/{freq}/{term}"
    for key, freq in (("solar", "H"), ("ett1", "15T"), ("hospital", "M"), ("saugeen", "D"))
    for term in ("short", "medium", "long")
]
VARIATES = {"solar": 1, "ett1": 7, "hospital": 1, "saugeen": 1}


def gift_eval_frame(seed: int, level: float = 1.0, digits: int | None = None) -> pd.DataFrame:
    """Metrics that belong together: one mean |target| a task behind MAE/ND and RMSE/NRMSE."""
    rng = np.random.default_rng(seed)
    n = len(TASKS)
    target = np.random.default_rng(99).lognormal(3, 1, n)
    mae, rmse = target * rng.uniform(0.1, 0.4, n) * level, target * rng.uniform(0.4, 0.8, n) * level
    columns = {
        "MSE[mean]": rmse**2, "MSE[0.5]": rmse**2, "MAE[0.5]": mae,
        "MASE[0.5]": rng.uniform(0.5, 2, n) * level, "MAPE[0.5]": rng.uniform(0, 1, n),
        "sMAPE[0.5]": rng.uniform(0, 1, n), "MSIS": rng.uniform(1, 9, n), "RMSE[mean]": rmse,
        "NRMSE[mean]": rmse / target, "ND[0.5]": mae / target,
        "mean_weighted_sum_quantile_loss": rng.uniform(0.05, 0.2, n) * level,
    }  # fmt: skip
    frame = pd.DataFrame({"dataset": TASKS} | {f"eval_metrics/{name}": v for name, v in columns.items()})
    frame["domain"] = [{"solar": "Energy", "ett1": "Energy"}.get(t.split("/")[0], "Nature") for t in TASKS]
    frame["num_variates"] = [VARIATES[task.split("/")[0]] for task in TASKS]
    return frame if digits is None else frame.round(digits)


def gift_eval_folder(folder: Path) -> Path:
    """Seasonal Naive, Naive and three models of different schemas."""
    folder.mkdir(parents=True, exist_ok=True)
    gift_eval_frame(0).to_csv(folder / "seasonal_naive.csv", index=False)
    gift_eval_frame(1, 1.1).to_csv(folder / "naive.csv", index=False)
    gift_eval_frame(2, 0.8).sample(frac=1, random_state=0).to_csv(folder / "shuffled.csv")
    gift_eval_frame(3, 0.7).drop(columns=["domain", "num_variates"]).to_csv(folder / "bare.csv", index=False)
    gift_eval_frame(4, 0.9).to_csv(folder / "plain.csv", index=False)
    return folder


def fev_frame(model: str, seed: int, tasks: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"model_name": model, "task_name": [f"task_{n}" for n in range(tasks)]})
    frame["dataset_path"], frame["dataset_config"] = "bench", frame["task_name"]
    frame["horizon"], frame["num_windows"], frame["seasonality"], frame["num_forecasts"] = 8, 3, 12, 30
    frame["eval_metric"], frame["quantile_levels"], frame["fev_version"] = "SQL", "[0.1, 0.5]", "0.8.0"
    for metric in ("SQL", "MASE", "WAPE", "WQL"):
        frame[metric] = rng.lognormal(0, 1.5, tasks)
    frame["test_error"] = frame["SQL"]
    frame["training_time_s"] = frame["inference_time_s"] = 1.0
    frame["trained_on_this_dataset"] = False
    return frame


def fev_folder(folder: Path) -> Path:
    """Baseline, stand-in, a model with leakage, a partial one, and two models in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    fev_frame("Seasonal Naive", 0).to_csv(folder / "seasonal_naive.csv", index=False)
    fev_frame("Chronos-Bolt", 1).to_csv(folder / "bolt.csv", index=False)
    leaky = fev_frame("Leaky", 2)
    leaky.loc[:4, "trained_on_this_dataset"] = True
    leaky.to_csv(folder / "leaky.csv", index=False)
    fev_frame("Partial", 3).iloc[:9].to_csv(folder / "partial.csv", index=False)
    pd.concat([fev_frame("Twin-A", 4), fev_frame("Twin-B", 5)]).to_csv(folder / "twins.csv", index=False)
    return folder


def published(benchmark: str) -> Path:
    """The folder of the true published results, or a skip."""
    root = os.environ.get("SPECSEQ_DATA")
    if not root or not (folder := Path(root) / "published" / benchmark).is_dir():
        pytest.skip("SPECSEQ_DATA does not name a folder with published results")
    return folder
