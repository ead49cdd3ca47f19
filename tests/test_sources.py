"""The files that decide a result, against what Python itself loads."""

import subprocess
import sys
from pathlib import Path

import pytest

import specseq
from specseq import sources as module
from specseq.sources import imported, source_digest, sources

PACKAGE = Path(specseq.__file__).parent


def names(*entries: str) -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in sources(*entries)}


@pytest.mark.parametrize("stage", ["zeros", "design", "prepare_lotsa", "claims", "rollout"])
def test_all_that_a_stage_loads_is_among_them(stage: str) -> None:
    program = (
        f"import sys, specseq.stages.{stage}\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'specseq'), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {Path(line) for line in done.stdout.splitlines()}
    deciding = {path for path in loaded if not module._is_bystander(path)}
    assert PACKAGE / "stages" / f"{stage}.py" in deciding
    assert deciding <= set(sources(f"stages/{stage}.py"))


def test_what_decides_no_number_is_not_among_them() -> None:
    found = names("stages/evaluate.py", "models")
    assert {"scoring/metrics.py", "filters/lagged.py", "series/frequency.py"} <= found
    assert not {name for name in found if name.startswith(("tables/", "launch/", "spacings/"))}
    assert not {"errors.py", "progress.py", "stages/arguments.py"} & found


def test_data_files_come_with_the_module_that_names_them() -> None:
    assert {"scoring/fev_tasks.csv", "scoring/gift_eval_configs.csv"} < names("stages/evaluate.py")
    assert {"report/page/page.css", "report/page/page.js"} < names("stages/report_page.py")
    assert "report/specseq.mplstyle" in names("stages/figure.py")
    assert "scoring/fev_tasks.csv" not in names("stages/design.py")


def test_every_way_to_import_is_followed(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(
        "import specseq.seeding as seeds\n"
        "from specseq import spectra\n"
        "def lazily():\n"
        "    from specseq.spacings import (\n"
        "        gue,  # the matrices\n"
        "        statistics as unfolded,\n"
        "    )\n"
        "text = 'from specseq.nowhere import nothing'\n"
    )
    found = {path.relative_to(PACKAGE).as_posix() for path in imported(file)}
    assert found == {
        "seeding.py",
        "spectra/__init__.py",
        "spacings/__init__.py",
        "spacings/gue.py",
        "spacings/statistics.py",
    }


def test_digest_is_of_names_and_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PACKAGE", tmp_path)
    for name, content in {"a.py": "import specseq.b\n", "b.py": "B = 1\n", "c.py": "C = 1\n"}.items():
        (tmp_path / name).write_text(content)

    def digest() -> str:
        source_digest.cache_clear()
        imported.cache_clear()
        return source_digest("a.py")

    before = digest()
    (tmp_path / "c.py").write_text("C = 2\n")
    assert digest() == before
    (tmp_path / "b.py").write_text("B = 2\n")
    assert digest() != before
    source_digest.cache_clear()
    imported.cache_clear()


def test_a_name_that_is_nothing_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        source_digest("stages/nowhere.py")
