"""Where data come from: the hub as downloads of the workflow, the user's folders, or the package."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from specseq.errors import InputError
from specseq.scoring.config import ScoreRequest
from specseq.settings import read
from specseq.studies.config import load_plan, with_scale
from specseq.studies.interface import BENCHMARKS
from specseq.studies.planning import Planning
from specseq.sweeps import Config

ROOT = Path(__file__).parents[2]


def planning(*words: str) -> Planning:
    return Planning(load_plan(ROOT, words=words))


@pytest.mark.parametrize(
    ("given", "slurm", "scale"),
    [
        ("auto", True, "paper"),
        ("auto", False, "laptop"),
        ("smoke", True, "smoke"),
        ("laptop", True, "laptop"),
    ],
)
def test_slurm_means_the_published_sizes_unless_a_scale_is_named(given: str, slurm: bool, scale: str) -> None:
    assert with_scale(Config({"scale": given, "partial": True}), slurm).content["scale"] == scale


def test_published_series_come_from_the_hub_as_nodes() -> None:
    sources = planning().sources
    for name in ("lotsa", "gift_eval", "fev", "chronos2"):
        assert sources.needed("paper", name) == f"downloads/{name}/download.json"
        assert sources.folder("paper", name) == f"downloads/{name}"
    assert sources.text_needed("paper") == ["downloads/text/download.json"]
    assert sources.text("paper")["source"] == {"kind": "path", "path": "downloads/text"}
    assert (sources.needed("laptop", "lotsa"), sources.text_needed("laptop")) == ([], [])


def test_each_benchmark_is_asked_for_what_it_has() -> None:
    own = planning("data={fev: hub}")
    published = "preconditioning/baseline/seed0"
    assert own.evaluation("paper", published, "gift_eval")["terms"] == ["short", "medium", "long"]
    asked = own.evaluation("rehearsal", published, "fev")
    assert (asked["terms"], asked["only"]) == (None, ["epf_de"])
    for scale, study, benchmark in product(own.plan.scales, ("preconditioning", "stu"), BENCHMARKS):
        for run in own.plan.study_runs(scale, study):
            read(ScoreRequest, {**own.evaluation(scale, run, benchmark), "out": "scores.parquet"}, run)


def test_chronos2_is_read_from_where_it_lies(tmp_path: Path) -> None:
    run = "preconditioning/frozen/chronos2"
    assert planning().weights("paper", run) == ["downloads/chronos2/download.json"]
    assert planning().evaluation("paper", run, "fev")["forecaster"]["name"] == "downloads/chronos2"
    own = planning(f"data={{chronos2: {tmp_path}}}")
    assert own.weights("paper", run) == []
    assert own.evaluation("paper", run, "fev")["forecaster"]["name"] == str(tmp_path)
    assert own.evaluation_files("paper", run, "gift_eval") == [str(tmp_path)]


def test_all_of_it_can_come_from_folders(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("Once")
    text = f"text: {{source: {{kind: path, path: {tmp_path / 'story.txt'}}}}}"
    own = planning(f"data={{lotsa: {tmp_path}, gift_eval: {tmp_path}, fev: {tmp_path}, {text}}}")
    for name in ("lotsa", "gift_eval", "fev"):
        assert own.sources.needed("paper", name) == str(tmp_path)
        assert own.sources.own("paper", name) == [str(tmp_path)]
    assert own.sources.text("paper")["source"] == {"kind": "path", "path": str(tmp_path / "story.txt")}
    assert own.sources.text_own("paper") == [str(tmp_path / "story.txt")]


@pytest.mark.parametrize(
    "words", ["data={lotsa: embedded}", "data={gift_eval: embedded}", "data={gift_eval: null}"]
)
def test_embedded_series_at_the_published_sizes_are_meant_by_name(words: str) -> None:
    with pytest.raises(InputError, match=r"these are embedded; leave it out, or mean it: scales: {paper:"):
        planning(words).sources.check("paper")
    planning(words).sources.check("laptop")
    meant: Any = planning(f"scales={{paper: {{{words.replace('=', ': ')}}}}}").sources
    meant.check("paper")
    assert [] in [meant.needed("paper", name) for name in ("lotsa", "gift_eval")]


@pytest.mark.parametrize("words", ["data={text: null}", "data={text: {source: null}}"])
def test_a_text_is_replaced_by_another_that_is_named(words: str) -> None:
    with pytest.raises(InputError, match=r"data\.text.*: takes out the published text.*name another"):
        planning(words).sources.check("paper")
    planning(words).sources.check("laptop")
    planning("data={text: {source: {kind: docstrings}}}").sources.check("paper")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kind: path", "data.text.kind: unknown key; did you mean source.kind?"),
        ("path: story.txt", "data.text.path: unknown key; did you mean source.path?"),
        ("source: {kind: path}", "data.text.source.path: is missing; add it"),
    ],
)
def test_a_text_that_is_half_named_is_told_the_field_that_lacks(text: str, line: str) -> None:
    for scale in ("laptop", "paper"):
        with pytest.raises(InputError) as caught:
            planning(f"data={{text: {{{text}}}}}").plan.data(scale)
        assert str(caught.value) == f"--config: {line}"


def test_only_what_is_embedded_can_be() -> None:
    with pytest.raises(InputError, match=r"data\.fev: none is embedded"):
        planning("data={fev: embedded}").plan.data("laptop")


def test_arrays_of_spacings_take_the_place_of_zeros(tmp_path: Path) -> None:
    own = planning(f"data={{spacings: {{arrays: {tmp_path}}}}}").sources
    assert own.arrays("paper") == [str(tmp_path)]
    assert (planning().sources.arrays("paper"), planning().sources.zeros_own("paper")) == ([], [])
    with pytest.raises(InputError, match=r"data\.spacings\.arrays: there is no folder"):
        planning(f"data={{spacings: {{arrays: {tmp_path / 'none'}}}}}").plan.data("paper")
