"""FEV-Bench's Parquet files: time stamps step by step, lists of all kinds, damage."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specseq.errors import InputError
from specseq.scoring.fev import fev_evaluations, open_task
from specseq.scoring.fev_tasks import read_tasks
from tests.scoring.test_fev import write_task


def write_items(
    root: Path, freq: str = "D", lengths: tuple[int, ...] = (50, 40, 30)
) -> tuple[Path, pa.Table]:
    """A data set of the items s2, s1, s0; its file and table."""
    write_task(root, {"y": [np.ones(length) for length in lengths]}, freq, horizon=4)
    return root / "x" / "data.parquet", pq.read_table(root / "x" / "data.parquet")


def with_stamps(table: pa.Table, rows: list[pd.DatetimeIndex], zone: str | None = None) -> pa.Table:
    times = [[None if time is pd.NaT else time for time in row] for row in rows]
    column = pa.array(times, pa.list_(pa.timestamp("us", zone)))
    return table.set_column(1, "timestamp", column)


def _swapped(row: pd.DatetimeIndex) -> pd.DatetimeIndex:
    return row[[*range(10), 20, *range(11, 20), 10, *range(21, len(row))]]


CHANGES = {
    "duplicate": (lambda row: row[[*range(9), 8, *range(10, len(row))]], "'s1': number 9 appears twice"),
    "unsorted": (_swapped, "'s1': they are not sorted at number 11"),
    "missing": (lambda row: pd.DatetimeIndex([*row[:5], pd.NaT, *row[6:]]), "'s1': some are missing"),
    "shifted end": (
        lambda row: pd.DatetimeIndex([*row[:-2], *(row[-2:] + row.freq)]),
        "'s1': gaps or uneven",
    ),
}


@pytest.mark.parametrize("freq", ["15min", "D", "B", "W-SUN", "MS", "ME", "QS-OCT", "YE", "2MS", "BME"])
@pytest.mark.parametrize("change", CHANGES)
def test_every_step_of_every_item_is_looked_at(tmp_path: Path, freq: str, change: str) -> None:
    file, table = write_items(tmp_path, freq)
    rows = [pd.date_range("2011-01-01", periods=length, freq=freq) for length in (50, 40, 30)]
    pq.write_table(with_stamps(table, rows), file)
    (task,) = read_tasks(tmp_path / "tasks.yaml").values()
    assert open_task(tmp_path, task).items == 3
    spoil, message = CHANGES[change]
    pq.write_table(with_stamps(table, [rows[0], spoil(rows[1]), rows[2]]), file)
    with pytest.raises(InputError, match=f"x: 1 of 3 items are not every [0-9A-Z]+, such as {message}"):
        open_task(tmp_path, task)
    pq.write_table(with_stamps(table, [*rows[:2], spoil(rows[2])]), file)  # s0, which tells the frequency
    with pytest.raises(InputError, match="timestamps of item 's0' have no frequency"):
        open_task(tmp_path, task)


def test_items_of_another_frequency_are_counted(tmp_path: Path) -> None:
    file, table = write_items(tmp_path)
    (task,) = read_tasks(tmp_path / "tasks.yaml").values()
    lengths = (50, 40, 30)
    days, hours, months = (
        [pd.date_range("2020-02-01", periods=length, freq=freq) for length in lengths]
        for freq in ("D", "h", "MS")
    )
    for rows, message in (
        ([hours[0], *days[1:]], "1 of 3 items are not every D, such as 's2': another frequency"),
        ([hours[0], months[1], days[2]], "2 of 3 items are not every D"),
        ([days[0], *months[1:]], "1 of 3 items are not every M, such as 's2': another"),
        (
            [months[0] + pd.Timedelta("9D"), months[1] + pd.to_timedelta(np.arange(40), "D"), months[2]],
            "1 of 3",
        ),
        (
            [days[0][:-1], *days[1:]],
            "1 of 3 items have not one timestamp per value, such as 's2' with 49 for 50",
        ),
    ):
        pq.write_table(with_stamps(table, rows), file)
        with pytest.raises(InputError, match=f"x: {message}"):
            open_task(tmp_path, task)


def test_time_zones_are_read_in_utc(tmp_path: Path) -> None:
    """As fev reads them: local days are no regular steps where clocks change."""
    file, table = write_items(tmp_path)
    (task,) = read_tasks(tmp_path / "tasks.yaml").values()
    for zone, regular in (("UTC", True), ("Europe/Berlin", False)):
        rows = [pd.date_range("2021-03-01", periods=length, freq="D", tz=zone) for length in (50, 40, 30)]
        pq.write_table(with_stamps(table, rows, zone), file)
        if regular:
            assert open_task(tmp_path, task).freq == "D"
        else:
            with pytest.raises(InputError, match="timestamps of item 's0' have no frequency"):
                open_task(tmp_path, task)


def test_what_tells_no_frequency_is_said(tmp_path: Path) -> None:
    file, table = write_items(tmp_path / "few", lengths=(50, 40, 2))
    (task,) = read_tasks(tmp_path / "few" / "tasks.yaml").values()
    with pytest.raises(
        InputError, match="item 's0' has 2 timestamps; fewer than 3 do not determine a frequency"
    ):
        open_task(tmp_path / "few", task)
    file, table = write_items(tmp_path / "bh", "bh")
    with pytest.raises(InputError, match="item 's0' are business hours, which are not supported"):
        open_task(tmp_path / "bh", task)
    for column, message in (
        (pa.array(["2021-01-01"] * 3), "column 'timestamp' is string; give a list of timestamps per item"),
        (pa.array([None] * 3, pa.list_(pa.timestamp("us"))), "item 's0' has 0 timestamps"),
    ):
        pq.write_table(table.set_column(1, "timestamp", column), file)
        with pytest.raises(InputError, match=message):
            open_task(tmp_path / "bh", task)
    pq.write_table(table.rename_columns(["id", "timestmp", "y"]), file)
    with pytest.raises(InputError, match="column 'timestamp' is missing; did you mean timestmp"):
        open_task(tmp_path / "bh", task)


def test_lists_of_other_kinds_and_files_of_unlike_types(tmp_path: Path) -> None:
    file, table = write_items(tmp_path, lengths=(40, 40))
    (task,) = read_tasks(tmp_path / "tasks.yaml").values()
    wanted = open_task(tmp_path, task)
    for kind in (pa.list_(pa.float64(), 40), pa.large_list(pa.float32()), pa.list_(pa.int32())):
        pq.write_table(table.set_column(2, "y", table["y"].combine_chunks().cast(kind)), file)
        assert open_task(tmp_path, task).forecasts == wanted.forecasts
    for number, kind in enumerate((pa.float32(), pa.float64())):
        part = table.slice(number, 1)
        part = part.set_column(2, "y", part["y"].cast(pa.list_(kind)))
        pq.write_table(part, file.with_name(f"{number}.parquet"))
    file.unlink()
    (windows, _, _), *_ = open_task(tmp_path, task).windows()
    assert windows.values.dtype == np.float64
    assert len(windows.values) == 80
    for rest in (file.with_name(f"{number}.parquet") for number in range(2)):
        pq.write_table(table.slice(0, 0), rest)
    with pytest.raises(InputError, match="holds no item"):
        open_task(tmp_path, task)
    pq.write_table(table.set_column(2, "y", pa.array([["a"], ["b"]])), rest)
    with pytest.raises(InputError, match=r"column 'y' is list<.*string>; give a list of numbers"):
        open_task(tmp_path, task)
    pq.write_table(table.set_column(0, "id", pa.array([None, "a"])), rest)
    with pytest.raises(InputError, match="1 of 2 items without an id"):
        open_task(tmp_path, task)


@pytest.mark.parametrize("name", ["part/1.parquet", "1.PARQUET", "1.parquet.gz"])
def test_files_that_would_be_passed_over_are_refused(tmp_path: Path, name: str) -> None:
    file, _ = write_items(tmp_path)
    (task,) = read_tasks(tmp_path / "tasks.yaml").values()
    other = file.parent / name
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=rf"x: 1 of its Parquet files are not read, such as {name}"):
        open_task(tmp_path, task)
    hidden = tmp_path / "x" / ".cache"
    hidden.mkdir()
    other.rename(hidden / "1.parquet")
    open_task(tmp_path, task)


def test_a_folder_or_a_dead_link_is_no_file(tmp_path: Path) -> None:
    file, _ = write_items(tmp_path)
    (evaluation,) = fev_evaluations(tmp_path)
    odd = file.with_name("1.parquet")
    for make, undo in ((odd.mkdir, odd.rmdir), (lambda: odd.symlink_to("nowhere"), odd.unlink)):
        make()
        with pytest.raises(InputError, match=r"1\.parquet: is not a file"):
            evaluation.files()
        undo()


def test_a_column_twice_in_a_file_is_named(tmp_path: Path) -> None:
    file, table = write_items(tmp_path)
    (task,) = read_tasks(tmp_path / "tasks.yaml").values()
    for name in table.column_names:
        pq.write_table(table.append_column(name, table[name]), file)
        with pytest.raises(InputError, match=f"column '{name}' appears twice; keep one"):
            open_task(tmp_path, task)


def test_tasks_without_data_and_data_without_a_task_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_items(tmp_path)
    tasks = yaml.safe_load((tmp_path / "tasks.yaml").read_text())["tasks"]
    more = [{**tasks[0], "task_name": name, "dataset_config": name} for name in ("X", "other")]
    (tmp_path / "tasks.yaml").write_text(yaml.safe_dump({"tasks": tasks + more}))
    shutil.copytree(tmp_path / "x", tmp_path / "others")
    assert len(fev_evaluations(tmp_path)) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "left out: 2 tasks without data, such as X (folder X)",
        "left out: 1 folders of no task, such as others",
    ]
    fev_evaluations(tmp_path, only=["x"])
    assert not capsys.readouterr().err


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_of_a_file_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    if not (tmp_path / "x").exists():
        write_items(tmp_path, lengths=(9, 8))
    file = tmp_path / "x" / "data.parquet"
    whole = (tmp_path / "whole").read_bytes() if (tmp_path / "whole").exists() else file.read_bytes()
    (tmp_path / "whole").write_bytes(whole)
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(bytes(content))
    (task,) = read_tasks(tmp_path / "tasks.yaml").values()
    with contextlib.suppress(InputError):
        open_task(tmp_path, task)
