"""Tables and figures of the zeta study from planted results."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from specseq.report.style import styled
from specseq.studies.zeta import figures, tables
from specseq.studies.zeta.figures import model_label, model_labels, references
from specseq.tables import Provenance, write_parquet

PARAMS = {"scale": "smoke"}
NLL = {
    "models/baseline": 0.3,
    "models/memory_published": -0.7,
    "beyond/spectral": -1.1,
    "size/limit100": -0.4,
}
RESULTS = [figures.context, figures.leak, figures.rollout, figures.size, figures.statistics]
LEAK = 0.9
LENGTHS = {"models": 128, "beyond": 192, "size": 192}
SIZES = {"beyond/spectral": 1000, "size/limit100": 100}


def _run(name: str, seed: int, task: str) -> list[dict[str, Any]]:
    group = f"zeta/{name}"
    run = {"study": "zeta", "group": group, "run": f"{group}_seed{seed}", "seed": seed}
    run["length"] = LENGTHS[name.split("/")[0]]
    rows: list[dict[str, Any]] = []

    def add(metric: str, value: float, step: int = -1, context: int = -1, benchmark: str = "rollout") -> None:
        keys = {"benchmark": benchmark, "task": task if benchmark == "rollout" else "train"}
        rows.append({**run, **keys, "step": step, "context": context, "metric": metric, "value": value})

    nll, leaks = NLL[name] + 0.1 * seed, "published" in name
    for metric in ("nll", "nll_long", "mae", "mae_long", "crps", "pit_mean", "pit_std", "predictive_entropy"):
        for end, shift in (("", 0.0), ("_low", -0.02), ("_high", 0.02)):
            add(metric + end, nll + shift)
    for context in (10, 128):
        add("nll_at", nll, context=context)
        add("nll_truncated", nll + LEAK * leaks, context=context)
        for step in (1, 10, 100):
            for end, shift in (("", 0.0), ("_low", -0.02), ("_high", 0.02)):
                add(f"err_mean{end}", 0.1 + step / 1000 + 10 / context + shift, step, context)
    add("windows", 40)
    add("causality_violation", 0.2 * leaks)
    for metric in ("rollout_form_factor", "data_form_factor"):
        for step in (50, 400):
            add(metric, step / 1000, step, 128)
    for metric in ("rollout_number_variance", "data_number_variance"):
        for step in (1, 10):
            add(metric, 0.3, step, 128)
    for step in range(10):
        add("pit_share", 0.1, step)
    if name in SIZES:
        add("training_spacings", SIZES[name])
        add("spacings_read", 5000)
    for step in range(1, 9):
        add("nll", nll + 1 / step, step, benchmark="pretrain")
    return rows


def _references(task: str) -> list[dict[str, Any]]:
    common = {"study": "zeta", "benchmark": "rollout", "seed": 0, "task": task}
    rows: list[dict[str, Any]] = []
    for name, context, nll in (("wigner", -1, 0.5), ("ar32", 32, 0.1), ("ar255", 255, -0.6)):
        run = {"run": f"zeta/references/{name}", "group": f"zeta/references/{name}"}
        for metric, value in (("nll", nll), ("mae", 0.2)):
            rows.append({**common, **run, "step": -1, "context": context, "metric": metric, "value": value})
        for step in (1, 10, 100):
            row = {**common, **run, "step": step, "context": 128, "metric": "err_mean"}
            rows.append({**row, "value": 0.2 + step / 1000})
    run = {"run": "zeta/references/ar", "group": "zeta/references/ar"}
    for context in range(1, 256):
        keys = {**common, **run, "step": -1, "context": context, "metric": "nll_at"}
        rows.append({**keys, "value": 0.45 - 0.001 * context})
    run = {"run": "zeta/references/data", "group": "zeta/references/data"}
    return [*rows, {**common, **run, "step": 2000, "context": -1, "metric": "peak", "value": 30.0}]


def _write(folder: Path, seeds: tuple[int, ...]) -> dict[str, list[Path]]:
    rows = [row for name in NLL for seed in seeds for row in _run(name, seed, "real/test")]
    rows += _run("models/memory_published", 0, "shuffled/test")
    rows += _references("real/test") + _references("shuffled/test")
    long, size = folder / "long.parquet", folder / "size.parquet"
    frame = pd.DataFrame(rows).astype({"length": "Int64"})
    write_parquet(long, frame, Provenance("test"))
    write_parquet(size, tables.size({"long": [long]}, PARAMS), Provenance("test"))
    return {"long": [long], "sizes": [size]}


@pytest.fixture
def results(tmp_path: Path) -> dict[str, list[Path]]:
    return _write(tmp_path, (0, 1, 2))


def test_seeds_are_pooled_and_students_interval_is_of_them(results: dict[str, list[Path]]) -> None:
    table = tables.summary(results, PARAMS).set_index(["group", "set"])
    row = table.loc[("zeta/models/baseline", "real")]
    assert (row["seeds"], row["windows"]) == (3, 40)
    assert row["nll"] == pytest.approx(0.4)
    # Three seeds 0.1 apart: the half width is 4.3027 · 0.1/√3.
    assert (row["nll_low"], row["nll_high"]) == (
        pytest.approx(0.1516, abs=1e-3),
        pytest.approx(0.6484, abs=1e-3),
    )
    assert row["err_100"] == pytest.approx(0.2 + 10 / 128)  # of the longest context
    assert (row["length"], row["context"]) == (128, 128)
    assert table.loc[("zeta/beyond/spectral", "real"), "length"] == 192
    assert pd.isna(table.loc[("zeta/references/ar32", "real"), "length"])
    assert "zeta/references/data" not in table.index.get_level_values(0)
    assert table.loc[("zeta/references/wigner", "shuffled"), "nll"] == 0.5


def test_autoregressions_have_the_nll_over_a_row_of_the_note(results: dict[str, list[Path]]) -> None:
    """AR(c) with c < p spacings known: 0.45 - 0.001 min(c, p) over c = 1 to 255."""
    table = tables.summary(results, PARAMS).set_index(["group", "set"])["nll_row"]
    expected = 0.45 - 0.001 * (sum(range(1, 33)) + 223 * 32) / 255
    assert table["zeta/references/ar32", "real"] == pytest.approx(expected)
    assert pd.isna(table["zeta/references/wigner", "real"])
    assert pd.isna(table["zeta/models/baseline", "real"])


def test_one_seed_has_the_bootstrap_interval(tmp_path: Path) -> None:
    table = tables.summary(_write(tmp_path, (0,)), PARAMS).set_index(["group", "set"])
    row = table.loc[("zeta/models/baseline", "real")]
    assert (row["nll_low"], row["nll_high"]) == (pytest.approx(0.28), pytest.approx(0.32))


def test_the_leak_is_what_the_future_was_worth(results: dict[str, list[Path]]) -> None:
    table = tables.summary(results, PARAMS).set_index(["group", "set"])
    assert table.loc[("zeta/models/memory_published", "real"), "leak"] == pytest.approx(LEAK)
    assert table.loc[("zeta/models/memory_published", "real"), "causality_violation"] == pytest.approx(0.2)
    assert table.loc[("zeta/models/baseline", "real"), "leak"] == 0
    assert table.loc[("zeta/models/baseline", "real"), "causality_violation"] == 0


def test_comparisons_with_a_baseline_worse_than_ar1_are_gated(
    results: dict[str, list[Path]], tmp_path: Path
) -> None:
    table = tables.summary(results, PARAMS).set_index(["group", "set"])
    row = table.loc[("zeta/models/memory_published", "real")]
    assert row["baseline"] == "zeta/models/baseline"
    assert row["gate"].startswith("decidable: NLL of the baseline 0.4, of AR(1) 0.449, difference -0.049 [")
    assert row["wigner"] == 0.5
    # Contexts 1..127: AR(c) up to c = 32, AR(32) from there on.
    assert row["ar1"] == pytest.approx(0.449)
    assert row["ar32"] == pytest.approx(0.45 - 0.001 * (sum(range(1, 33)) + 95 * 32) / 127)
    assert pd.isna(table.loc[("zeta/references/ar32", "real"), "gate"])
    assert "zeta/references/ar" not in table.index.get_level_values(0)
    long = pd.read_parquet(results["long"][0])
    worse = (long["group"] == "zeta/models/baseline") & (long["metric"] == "nll")
    path = tmp_path / "worse.parquet"
    write_parquet(path, long.assign(value=long["value"] + worse * 0.2), Provenance("test"))
    table = tables.summary({"long": [path]}, PARAMS).set_index(["group", "set"])
    gate = table.loc[("zeta/models/memory_published", "real"), "gate"]
    assert gate.startswith(
        "not decidable at this scale: NLL of the baseline 0.6, of AR(1) 0.449, difference 0.151 ["
    )


def _without(results: dict[str, list[Path]], folder: Path, diverged: set[str]) -> dict[str, list[Path]]:
    """The results where some runs diverged: of those there is that one row, and their training."""
    long = pd.read_parquet(results["long"][0])
    lost = long["run"].isin(diverged) & (long["benchmark"] == "rollout")
    rows = long[lost].drop_duplicates(["run", "task"])
    rows = rows.assign(metric="diverged", step=-1, context=-1, value=1.0)
    folder.mkdir()
    path, size = folder / "long.parquet", folder / "size.parquet"
    write_parquet(path, pd.concat([long[~lost], rows]), Provenance("test"))
    write_parquet(size, tables.size({"long": [path]}, PARAMS), Provenance("test"))
    return {"long": [path], "sizes": [size]}


def test_diverged_seeds_are_counted_apart(results: dict[str, list[Path]], tmp_path: Path) -> None:
    every = {f"zeta/size/limit100_seed{seed}" for seed in (0, 1, 2)}
    planted = _without(results, tmp_path / "lost", {"zeta/models/baseline_seed1", *every})
    table = tables.summary(planted, PARAMS).set_index(["group", "set"])
    counts = table[["seeds", "diverged"]]
    assert counts.loc[("zeta/models/baseline", "real")].tolist() == [2, 1]
    assert counts.loc[("zeta/size/limit100", "real")].tolist() == [0, 3]
    assert counts.loc[("zeta/models/memory_published", "real")].tolist() == [3, 0]
    assert counts.loc[("zeta/references/wigner", "real")].tolist() == [1, 0]
    assert table.loc[("zeta/models/baseline", "real"), "nll"] == pytest.approx(0.4)
    assert pd.isna(table.loc[("zeta/size/limit100", "real"), "nll"])
    sizes = pd.read_parquet(planted["sizes"][0]).set_index("group")
    assert sizes.loc["zeta/beyond/spectral", ["seeds", "training_spacings"]].tolist() == [3, 1000]
    assert sizes.loc["zeta/size/limit100", ["seeds", "diverged"]].tolist() == [0, 3]
    assert pd.isna(sizes.loc["zeta/size/limit100", "training_spacings"])
    for figure in RESULTS:
        with styled():
            plt.close(figure(planted, PARAMS))


def test_size_table_is_in_order_of_size(results: dict[str, list[Path]], tmp_path: Path) -> None:
    table = tables.size(results, PARAMS)
    assert table["training_spacings"].tolist() == [100, 1000]
    assert table["spacings_read"].tolist() == [5000, 5000]
    row = table.iloc[1]
    assert (row["nll_long"], row["nll_long_low"], row["nll_long_high"]) == pytest.approx((-1.0, -1.1, -0.9))
    single = tables.size(_write(tmp_path / "one", (0,)), PARAMS).iloc[1]
    assert (single["nll_long_low"], single["nll_long_high"]) == pytest.approx((-1.12, -1.08))
    assert (single["err_100_low"], single["err_100"]) == pytest.approx((0.18 + 10 / 128, 0.2 + 10 / 128))


def test_without_runs_of_several_sizes_table_and_figure_are_empty(
    results: dict[str, list[Path]], tmp_path: Path
) -> None:
    long = pd.read_parquet(results["long"][0])
    path, size = tmp_path / "other.parquet", tmp_path / "size.parquet"
    write_parquet(path, long[long["run"].str.startswith("zeta/models")], Provenance("test"))
    table = tables.size({"long": [path]}, PARAMS)
    assert table.empty
    assert list(table) == list(tables.size(results, PARAMS))
    write_parquet(size, table, Provenance("test"))
    with styled():
        drawn = figures.size({"long": [path], "sizes": [size]}, PARAMS)
    assert not drawn.axes[0].containers
    plt.close(drawn)


@pytest.mark.parametrize(
    "figure",
    [figures.context, figures.leak, figures.masks, figures.rollout, figures.size, figures.statistics],
)
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_figures_are_drawn_and_named(figure: Any, seeds: tuple[int, ...], tmp_path: Path) -> None:
    with styled():
        drawn = figure(_write(tmp_path, seeds), PARAMS)
        drawn.savefig(tmp_path / "figure.svg")
    for axes in drawn.axes:
        assert axes.get_xlabel(), figure
        assert axes.lines or axes.images, figure
    plt.close(drawn)


def test_size_figure_shows_every_size_and_the_references(results: dict[str, list[Path]]) -> None:
    with styled():
        drawn = figures.size(results, PARAMS)
    first, _, along = drawn.axes
    sizes, values = first.containers[0].lines[0].get_data()
    assert list(sizes) == [100, 1000]
    assert "n = 40 windows, 3 seeds" in [text.get_text() for text in drawn.texts]
    assert list(values) == pytest.approx([-0.3, -1.0])
    assert {text.get_text() for text in first.texts} == {"iid Wigner", "AR(32)", "AR(255)"}
    assert {line.get_label() for line in along.lines} == {"100 training spacings", "1,000 training spacings"}
    plt.close(drawn)


def test_size_figure_tells_one_seed_from_several(results: dict[str, list[Path]], tmp_path: Path) -> None:
    long = pd.read_parquet(results["long"][0])
    long = long[(long["group"] != "zeta/size/limit100") | (long["seed"] == 0)]
    path, size = tmp_path / "fewer.parquet", tmp_path / "sizes.parquet"
    write_parquet(path, long, Provenance("test"))
    write_parquet(size, tables.size({"long": [path]}, PARAMS), Provenance("test"))
    with styled():
        drawn = figures.size({"long": [path], "sizes": [size]}, PARAMS)
    several, single = drawn.axes[0].containers
    assert [list(part.lines[0].get_xdata()) for part in (several, single)] == [[1000], [100]]
    assert single.lines[0].get_markerfacecolor() == "white"
    assert "n = 40 windows, 1–3 seeds" in [text.get_text() for text in drawn.texts]
    plt.close(drawn)


def test_the_leak_figure_names_windows_where_they_differ(
    results: dict[str, list[Path]], tmp_path: Path
) -> None:
    long = pd.read_parquet(results["long"][0])
    small = long[long["group"] == "zeta/models/memory_published"]
    names = {c: small[c].str.replace("models/memory_", "leak/") for c in ("run", "group")}
    small = small.assign(length=4, **names)
    windows = small["value"].where(small["metric"] != "windows", 1000)
    path = tmp_path / "with_small.parquet"
    write_parquet(path, pd.concat([small.assign(value=windows), long]), Provenance("test"))
    with styled():
        drawn = figures.leak({"long": [path]}, PARAMS)
    assert [text.get_text() for text in drawn.axes[0].get_yticklabels()] == [
        "small memory (published mask), window 4",
        "baseline, window 128",
        "memory (published mask), window 128",
        "spectral, window 192",
    ]
    assert "n = 40–1,000 windows, 3 seeds" in [text.get_text() for text in drawn.texts]
    plt.close(drawn)
    alone = model_labels(long[long["length"] == 128])
    assert alone == {
        "zeta/models/baseline": "baseline",
        "zeta/models/memory_published": "memory (published mask)",
    }


def test_statistics_figure_shows_the_models_compared_and_their_data_once(
    results: dict[str, list[Path]], tmp_path: Path
) -> None:
    """Of the small models, whose windows are shorter, neither the curves nor the data."""
    long = pd.read_parquet(results["long"][0])
    small = long[long["group"] == "zeta/models/memory_published"]
    small = small.assign(value=9.0, **{c: small[c].str.replace("models", "leak") for c in ("run", "group")})
    path = tmp_path / "with_small.parquet"
    write_parquet(path, pd.concat([small, long]), Provenance("test"))
    with styled():
        drawn = figures.statistics({"long": [path]}, PARAMS)
    form, variance, calibration = drawn.axes
    assert [len(axes.lines) for axes in drawn.axes] == [3 + 2, 3 + 1, 3 + 1]
    assert max(line.get_ydata().max() for axes in (form, variance) for line in axes.lines) < 1
    assert "small" not in "".join(str(line.get_label()) for line in calibration.lines)
    plt.close(drawn)


def test_labels_name_the_mask() -> None:
    assert model_label("zeta/models/memory_published_shuffled") == "memory (published mask)"
    assert model_label("zeta/size/limit6000") == "spectral, 6,000 spacings"
    assert model_label("zeta/leak/causal_shuffled") == "small memory (causal mask)"
    assert model_label("zeta/beyond/spectral") == "spectral"


def test_references_are_those_of_the_task(results: dict[str, list[Path]]) -> None:
    long = pd.read_parquet(results["long"][0])
    assert references(long, "real/test", "err_mean", 10) == pytest.approx(
        {"wigner": 0.21, "ar32": 0.21, "ar255": 0.21}
    )
    assert references(long, "gue/test", "nll") == {}
