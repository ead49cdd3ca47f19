"""FEV-Bench: tasks, windows and metrics against the package ``fev``, and what is refused."""

import datetime
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specseq.errors import InputError
from specseq.scoring.evaluate import score
from specseq.scoring.fev import fev_evaluations, open_task
from specseq.scoring.fev_tasks import METRICS, TaskFields, lengths_digest, official_tasks, read_tasks
from specseq.scoring.metrics import LEVELS
from specseq.series.hub import UNFINISHED
from tests.scoring.test_gift_eval import KINDS, Fake, fake_quantiles, wild_series

OFFICIAL: dict[str, Any] = {
    "dataset_path": "autogluon/fev_datasets",
    "eval_metric": "SQL",
    "extra_metrics": ["MASE", {"name": "WAPE", "epsilon": 1.0}, {"name": "WQL", "epsilon": 1.0}],
    "quantile_levels": list(LEVELS),
}
FREQUENCIES = {"10min": 144, "15min": 96, "h": 24, "D": 7, "W-SUN": 1, "MS": 12, "QS-OCT": 4}


def write_task(
    root: Path, columns: dict[str, list[np.ndarray]], freq: str = "D", **fields: Any
) -> dict[str, Any]:
    """Write a data set ``x`` and a ``tasks.yaml`` with one task of it; gives the task."""
    lengths = [len(values) for values in next(iter(columns.values()))]
    times = [pd.date_range("2021-01-01", periods=length, freq=freq) for length in lengths]
    # Ids out of order: the harness must sort them as fev does.
    ids = [f"s{number}" for number in reversed(range(len(lengths)))]
    table = {
        "id": pa.array(ids),
        "timestamp": pa.array([list(t) for t in times], pa.list_(pa.timestamp("us"))),
    }
    table |= {name: pa.array(values, pa.list_(pa.float32())) for name, values in columns.items()}
    (root / "x").mkdir(parents=True)
    pq.write_table(pa.table(table), root / "x" / "data.parquet")
    task = {**OFFICIAL, "dataset_config": "x", "target": sorted(columns), **fields}
    (root / "tasks.yaml").write_text(yaml.safe_dump({"tasks": [task]}))
    return task


def by_fev(root: Path, fields: dict[str, Any]) -> dict[str, float]:
    os.environ["HF_HOME"] = str(root / "cache")
    import datasets
    import fev

    datasets.disable_caching()
    keep = {k: v for k, v in fields.items() if k not in ("dataset_path", "dataset_config")}
    task = fev.Task(dataset_path=str(root / "x" / "data.parquet"), **keep)
    task.load_full_dataset(num_proc=1)
    predictions = []
    for window in task.iter_windows(num_proc=1):
        past, _ = window.get_input_data()
        answer: dict[str, list[dict[str, Any]]] = {name: [] for name in task.target_columns}
        for name in task.target_columns:
            for context in past[name]:
                quantiles = fake_quantiles(np.asarray(context), task.horizon).astype(np.float64)
                levels = {str(level): row for level, row in zip(LEVELS, quantiles, strict=True)}
                answer[name].append({"predictions": levels["0.5"], **levels})
        predictions.append(answer)
    summary = task.evaluation_summary(predictions, model_name="fake")
    return {name: summary[name] for name in (*METRICS, "num_forecasts")}


@settings(max_examples=12, deadline=None)
@given(
    freq=st.sampled_from(sorted(FREQUENCIES)),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    targets=st.integers(1, 3),
    windows=st.integers(1, 4),
    history=st.integers(4, 180),
    min_context=st.sampled_from([1, 5]),
    max_context=st.sampled_from([None, 50]),
    seed=st.integers(0, 2**32 - 1),
)
def test_metrics_equal_fev(
    tmp_path_factory: pytest.TempPathFactory,
    freq: str,
    kinds: list[str],
    targets: int,
    windows: int,
    history: int,
    min_context: int,
    max_context: int | None,
    seed: int,
) -> None:
    root = tmp_path_factory.mktemp("fev")
    horizon = 5
    # Later items are shorter by a window each: they drop out of early windows.
    lengths = [max(history + horizon * (windows - n), horizon + 2) for n in range(len(kinds))]
    lengths[-1] = max(lengths[-1], history + horizon * windows + 1)
    columns = {
        f"y{k}": [wild_series(seed + 10 * n + k, lengths[n], kind) for n, kind in enumerate(kinds)]
        for k in range(targets)
    }
    fields = write_task(
        root,
        columns,
        freq,
        horizon=horizon,
        num_windows=windows,
        seasonality=FREQUENCIES[freq],
        min_context_length=min_context,
        **({"max_context_length": max_context} if max_context else {}),
    )
    if history < min_context:
        return
    theirs = by_fev(root, fields)
    (evaluation,) = fev_evaluations(root)
    ours = score(evaluation, Fake())
    assert evaluation.facts()["num_forecasts"] == theirs.pop("num_forecasts")
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-9, nan_ok=True), name


@pytest.mark.parametrize(("freq", "step"), [("D", None), ("MS", 2), ("W-SUN", "W-SUN"), ("h", "D")])
def test_cutoffs_in_time_equal_fev(tmp_path: Path, freq: str, step: int | str | None) -> None:
    columns = {"y": [wild_series(n, 90 + 3 * n, "gaps") for n in range(3)]}
    cutoff = pd.date_range("2021-01-01", periods=90, freq=freq)[30]
    fields = write_task(
        tmp_path,
        columns,
        freq,
        horizon=4,
        num_windows=2,
        seasonality=3,
        initial_cutoff=cutoff.isoformat(),
        **({"window_step_size": step} if step else {}),
    )
    theirs = by_fev(tmp_path, fields)
    (evaluation,) = fev_evaluations(tmp_path)
    ours = score(evaluation, Fake())
    assert evaluation.facts()["num_forecasts"] == theirs.pop("num_forecasts")
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_official_tasks() -> None:
    tasks = official_tasks()
    assert len(tasks) == 100
    assert len({task.dataset for task in tasks.values()}) == 96
    covid = tasks["uk_covid_nation_1D/new"]
    assert (covid.dataset, covid.targets) == (
        "uk_covid_nation_1D",
        ("new_admissions", "new_cases", "new_deaths"),
    )
    assert tasks["rohlik_orders_1D"].initial_cutoff == "2023-05-01"
    assert (tasks["ETT_1H"].initial_cutoff, tasks["ETT_1H"].forecasts) == (-168 * 20, 280)


def test_a_partial_data_set_is_refused(tmp_path: Path) -> None:
    write_task(tmp_path, {"target": [np.ones(200)] * 3}, "MS")
    (tmp_path / "x").rename(tmp_path / "hospital")
    (tmp_path / "tasks.yaml").unlink()
    (evaluation,) = fev_evaluations(tmp_path)
    with pytest.raises(InputError, match="hospital: 12 forecasts where the benchmark has 3068"):
        score(evaluation, Fake())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"eval_metric": "RMSE"}, "x.eval_metric: RMSE with epsilon 0.0 is not scored here"),
        ({"extra_metrics": [{"name": "WQL", "epsilon": 2.0}]}, "WQL with epsilon 2.0 is not scored"),
        ({"extra_metrics": None}, "extra_metrics: null is not a list"),
        ({"extra_metrics": "WQL"}, "extra_metrics: 'WQL' is not a list"),
        ({"quantile_levels": [0.5]}, "quantile_levels: .0.5.; use 0.1 to 0.9"),
        ({"quantile_levels": None}, "quantile_levels: null is not a list"),
        ({"generate_univariate_targets_from": ["y"]}, "generate_univariate_targets_from: .'y'. is not null"),
        ({"horizn": 3}, "x.horizn: unknown key; did you mean horizon"),
        ({"horizon": 0}, "horizon: 0 is not at least 1"),
        ({"horizon": "soon"}, "horizon: 'soon' is not a "),
        ({"horizon": 6.5}, "horizon: 6.5 is not a whole number"),
        ({"horizon": True}, "horizon: true is not a whole number"),
        ({"horizon": float("nan")}, "horizon: nan is not a"),
        ({"num_windows": -1}, "num_windows: -1 is not at least 1"),
        ({"max_context_length": 0}, "max_context_length: 0 is not at least 1"),
        ({"window_step_size": 0}, "window_step_size: 0 is not at least 1"),
        ({"initial_cutoff": "2021-02-01", "window_step_size": "-1D"}, "'-1D' does not go forward"),
        ({"initial_cutoff": "2021-02-01", "window_step_size": "fortnight"}, "'fortnight' is not an offset"),
        ({"window_step_size": "7D"}, "window_step_size: '7D' with a cutoff that is not a time"),
        ({"initial_cutoff": "not a date"}, "initial_cutoff: 'not a date' is not a time"),
        ({"initial_cutoff": -12.0}, "initial_cutoff: -12.0 is not a whole number"),
        ({"initial_cutoff": -3}, "initial_cutoff: -3 leaves no horizon after the last window; give -4 or"),
        ({"target": []}, "target"),
        ({"target": ["y", "y"]}, "target: column 'y' is named twice among id, timestamp and targets"),
        ({"target": "id"}, "target: column 'id' is named twice"),
        ({"id_column": "y"}, "target: column 'y' is named twice"),
        ({"initial_cutoff": ""}, "initial_cutoff: '' is not a time"),
        ({"initial_cutoff": "NaT"}, "initial_cutoff: 'NaT' is not a time"),
        *(
            ({name: 10**30}, f"{name}: 10+ is not at most 1e[+]09")
            for name in ("horizon", "seasonality", "max_context_length", "min_context_length")
        ),
        ({"num_windows": 10**9}, "num_windows: 1000000000 is not at most 10000"),
        ({"window_step_size": 10**30}, "window_step_size: 1"),
        ({"initial_cutoff": -(10**30)}, "initial_cutoff: -1"),
        ({"task_name": 3}, "task_name: 3 is not a text"),
    ],
)
def test_tasks_that_are_not_scored_here(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    write_task(tmp_path, {"y": [np.ones(50)]}, **{"horizon": 4, **fields})
    with pytest.raises(InputError, match=message):
        read_tasks(tmp_path / "tasks.yaml")


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"max_context_length": "20"}, "max_context_length", 20),
        ({"max_context_length": 20.0}, "max_context_length", 20),
        ({"horizon": "4"}, "horizon", 4),
        ({"window_step_size": None}, "step", 4),
        ({"generate_univariate_targets_from": None}, "targets", ("y",)),
        ({"initial_cutoff": datetime.date(2021, 2, 1)}, "initial_cutoff", "2021-02-01"),
    ],
)
def test_tasks_are_read_as_fev_reads_them(
    tmp_path: Path, fields: dict[str, Any], name: str, value: object
) -> None:
    write_task(tmp_path, {"y": [np.ones(50)]}, **{"horizon": 4, **fields})
    (task,) = read_tasks(tmp_path / "tasks.yaml").values()
    assert getattr(task, name) == value


_VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 9),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(0, 3)),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*TaskFields.__dataclass_fields__, "other"]), _VALUE, max_size=3))
def test_any_task_is_read_or_refused_in_one_line(tmp_path: Path, fields: dict[str, Any]) -> None:
    path = tmp_path / "tasks.yaml"
    path.write_text(yaml.safe_dump({"tasks": [{**OFFICIAL, "dataset_config": "x", "horizon": 4, **fields}]}))
    line = ""
    try:
        (task,) = read_tasks(path).values()
    except InputError as error:
        line = str(error)
    else:
        assert min(task.horizon, task.windows, task.season_length, task.min_context_length) >= 1
    assert "\n" not in line


def test_a_tasks_file_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "tasks.yaml").write_bytes("tasks: [{task_name: tâche}]".encode("latin-1"))
    with pytest.raises(InputError, match=r"not readable .*utf-8"):
        read_tasks(tmp_path / "tasks.yaml")


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tasks.yaml").write_text("tasks:\n- dataset_config: d\n  horizon: 6\n  horizon: 7\n")
    with pytest.raises(InputError, match="line 4: the key 'horizon' is also in line 3; join the two"):
        read_tasks(tmp_path / "tasks.yaml")


def test_a_task_that_holds_itself_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tasks.yaml").write_text("tasks:\n- &x\n  dataset_config: d\n  horizon: 6\n  target: *x\n")
    with pytest.raises(
        InputError, match=r"is nested more than 50 deep.*; take out the alias that repeats it"
    ):
        read_tasks(tmp_path / "tasks.yaml")


def test_lengths_of_items_are_those_of_the_benchmark(tmp_path: Path) -> None:
    task = official_tasks()["epf_be"]
    lengths = np.array([task.steps])
    assert lengths_digest(lengths) == task.lengths
    values = wild_series(0, int(lengths[0]), "plain")
    write_task(tmp_path, {"target": [values]}, "h", horizon=24, num_windows=20, seasonality=24)
    open_task(tmp_path, replace(task, dataset="x"))
    shutil.rmtree(tmp_path / "x")
    write_task(tmp_path, {"target": [values[100:]]}, "h", horizon=24, num_windows=20, seasonality=24)
    with pytest.raises(InputError, match=f"{len(values) - 100} steps in all items where the benchmark has"):
        open_task(tmp_path, replace(task, dataset="x"))
    two = replace(task, dataset="x", forecasts=None, steps=300, lengths=lengths_digest(np.array([140, 160])))
    shutil.rmtree(tmp_path / "x")
    write_task(tmp_path, {"target": [values[:150], values[:150]]}, "h", horizon=2, num_windows=20)
    with pytest.raises(InputError, match="items differ in length from the benchmark's, though not all"):
        open_task(tmp_path, replace(two, horizon=2, initial_cutoff=-40, step=2))


def test_an_unfinished_download_is_refused(tmp_path: Path) -> None:
    write_task(tmp_path, {"y": [np.arange(400.0)]})
    (tmp_path / UNFINISHED).touch()
    with pytest.raises(InputError, match="this download is unfinished"):
        fev_evaluations(tmp_path)


def test_faulty_data_are_named(tmp_path: Path) -> None:
    write_task(tmp_path, {"y": [np.ones(9)]}, horizon=8, num_windows=2)
    (task,) = read_tasks(tmp_path / "tasks.yaml").values()
    with pytest.raises(InputError, match="x: no item is long enough for window 0"):
        open_task(tmp_path, task)
    data = tmp_path / "x" / "data.parquet"
    table = pq.read_table(data)
    pq.write_table(pa.concat_tables([table, table]), data)
    with pytest.raises(InputError, match="1 item ids appear twice"):
        open_task(tmp_path, task)
    pq.write_table(table.drop_columns("y"), data)
    with pytest.raises(InputError, match="column 'y' is missing"):
        open_task(tmp_path, task)
    data.write_bytes(b"PAR1 cut")
    with pytest.raises(InputError, match="unreadable Parquet"):
        open_task(tmp_path, task)
    data.unlink()
    with pytest.raises(InputError, match="no Parquet files"):
        open_task(tmp_path, task)
    with pytest.raises(InputError, match="no such task"):
        fev_evaluations(tmp_path, only=["z"])
    with pytest.raises(InputError, match="no such file"):
        read_tasks(tmp_path / "other.yaml")
