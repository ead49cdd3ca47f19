"""A stopped audit, or measurement of mechanisms, does only the rest, and its tables are the same bytes."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specseq import sources
from specseq.equilibrium import audit, fingerprint
from specseq.tables.kept import Arrays, Kept
from specseq.training.checkpoint import save_weights
from tests import stage_call
from tests.equilibrium.test_pretraining import PARAMS, task

TABLES = ("verdicts", "spectrum", "fingerprint")
SETTINGS = {"samples": 3, "budget": 400, "steps": [0.1, 0.05], "evaluation": {"unrolled": 20}}
# Two batches of samples, whose spectra are taken one by one.
PARTS = [
    *("audit_0_euler", "audit_0_anderson", "audit_0_spectrum_0", "audit_0_spectrum_1", "audit_0_abscissae"),
    *("audit_1_euler", "audit_1_anderson", "audit_1_spectrum_0", "audit_1_abscissae"),
    *("swept_0", "swept_1", "free", "converged_euler", "converged_anderson", "converged"),
    *("evaluated_euler", "evaluated_anderson", "evaluated_spectrum_0", "evaluated_abscissae"),
    *("compared_0", "compared_1"),
]


class Work:
    """The parts that are done, and the one, if any, at whose end the stage is asked to stop."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.stop_at: str | None = None

    def counted(self, name: str, make: Callable[[], Any]) -> Callable[[], Any]:
        def counting() -> Any:
            made = make()
            if name == self.stop_at:
                signal.raise_signal(signal.SIGTERM)
            self.done.append(name)
            return made

        return counting


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    work, arrays, rows = Work(), Kept.arrays, Kept.rows

    def counted_arrays(kept: Kept, name: str, make: Callable[[], Arrays]) -> Arrays:
        return arrays(kept, name, work.counted(name, make))

    def counted_rows(kept: Kept, name: str, make: Callable[[], Any]) -> Any:
        return rows(kept, name, work.counted(name, make))

    monkeypatch.setattr(Kept, "arrays", counted_arrays)
    monkeypatch.setattr(Kept, "rows", counted_rows)
    for module in (audit, fingerprint):
        monkeypatch.setattr(module, "PART", 2)
    monkeypatch.setattr(audit, "_LARGEST", 1)
    return work


@pytest.fixture
def weights(text: Path, tmp_path: Path) -> Path:
    save_weights(tmp_path / "weights.safetensors", task(text).model, PARAMS)
    return tmp_path / "weights.safetensors"


def run_audit(weights: Path, text: Path, out: Path, parts: Path | None = None, **changed: Any) -> None:
    files = {name: out / f"{name}.parquet" for name in TABLES}
    settings = {**SETTINGS, **changed}
    stage_call.run("audit", checkpoint=weights, text=text, run="a/b/c", audit=settings, parts=parts, **files)


def content(path: Path) -> bytes:
    """All values of a table to the bit, without its provenance, which has times."""
    sink = pa.BufferOutputStream()
    table = pq.read_table(path).replace_schema_metadata(None).combine_chunks()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


def other_code(*names: str) -> str:
    return "other"


def stopped(run: Callable[[], None]) -> None:
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 143


def test_an_audit_that_is_stopped_at_each_part_does_none_twice(
    work: Work, weights: Path, text: Path, tmp_path: Path
) -> None:
    run_audit(weights, text, tmp_path / "whole")
    assert work.done == PARTS
    work.done, parts, again = [], tmp_path / "parts", tmp_path / "again"
    for number, name in enumerate(PARTS):
        work.stop_at = name
        stopped(lambda: run_audit(weights, text, again, parts))
        assert work.done == PARTS[:number]
        assert not again.exists()
    work.stop_at = None
    run_audit(weights, text, again, parts)
    assert work.done == PARTS
    for table in TABLES:
        assert content(again / f"{table}.parquet") == content(tmp_path / f"whole/{table}.parquet")
    assert not parts.exists()


@pytest.mark.parametrize("change", ["settings", "weights", "text", "code"])
def test_parts_of_another_audit_are_not_used(
    change: str, work: Work, weights: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, parts, changed = tmp_path / "out", tmp_path / "parts", {}
    text = Path(shutil.copytree(text, tmp_path / "text"))
    work.stop_at = PARTS[-1]
    stopped(lambda: run_audit(weights, text, out, parts))
    match change:
        case "settings":
            changed["tolerance"] = 1e-5
        case "weights":
            save_weights(weights, task(text, seed=1).model, PARAMS)
        case "text":
            manifest = text / "manifest.json"
            manifest.write_text(manifest.read_text() + "\n")
        case "code":
            monkeypatch.setattr(fingerprint, "source_digest", other_code)
    work.done, work.stop_at = [], None
    run_audit(weights, text, out, parts, **changed)
    assert work.done == PARTS


def test_training_evaluates_without_parts(text: Path, work: Work, tmp_path: Path) -> None:
    made = task(text)
    once, again = (made.evaluate(made.model) for _ in range(2))
    assert once == again
    assert work.done == 2 * [name for name in PARTS if name.startswith(("free", "converged", "evaluated"))]


def test_mechanisms_that_are_stopped_go_on_at_the_task(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(out: str, seed: int = 0) -> None:
        settings = {"seed": seed, "tasks": tasks}
        stage_call.run("mechanisms", out=tmp_path / out, parts=tmp_path / "parts", mechanisms=settings)

    tasks, same_code = ["products", "penalty"], sources.source_digest
    run("whole.parquet")
    for seed, code, rest in ((0, same_code, tasks[1:]), (1, same_code, tasks), (0, other_code, tasks)):
        work.stop_at = "penalty"
        stopped(lambda: run("again.parquet"))
        work.done, work.stop_at = [], None
        with monkeypatch.context() as patch:
            patch.setattr(sources, "source_digest", code)
            run("again.parquet", seed)
        assert work.done == rest
        same = content(tmp_path / "again.parquet") == content(tmp_path / "whole.parquet")
        assert same == (seed == 0)
        assert not (tmp_path / "parts").exists()
