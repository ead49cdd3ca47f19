"""The page carries everything inside itself, escapes what it shows and names what is missing."""

import base64
import io
import re
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote
from xml.etree import ElementTree

import jinja2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_string
from PIL import Image

from specseq.errors import InputError
from specseq.report.page import load_sections, render_page
from specseq.report.page.images import embedded, slim, thumbnail
from specseq.report.sections import load_section
from specseq.report.style import save, styled
from specseq.studies.reports import load_claims, page_captions
from specseq.tables import Provenance, write_parquet

ROOT = Path(__file__).parents[2]
SECTION = """
study: preconditioning
title: Preconditioning
question: Does it *help*?
set_up: A sweep.
notes: ["000"]
headline: figures/gap
figures: [{file: figures/gap, title: The gap, caption: n = 8, claims: ["*1"]}]
tables: [{file: tables/t.parquet, title: Table, caption: basis raw, columns: [run, value]}]
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "sections/preconditioning").mkdir(parents=True)
    (tmp_path / "sections/preconditioning/page.yaml").write_text(SECTION)
    claims = pd.DataFrame(
        {
            "id": ["c1", "c2"],
            "note": "000",
            "place": "section 1",
            "statement": ["a </script><script>alert(1)</script> claim", "another"],
            "published": [1.0238, None],
            "measured": [0.5, None],
            "low": [0.4, None],
            "high": [0.6, None],
            "relation": "< 1",
            "command": "snakemake results/laptop/x.parquet",
            "status": ["live", "retracted"],
            "verdict": ["contradicted", "not run"],
            "evidence": "x.parquet",
            "explanation": ["It is a MASE.", ""],
        }
    )
    write_parquet(tmp_path / "laptop" / "claims.parquet", claims, Provenance("claims"))
    return tmp_path


def page(results: Path) -> str:
    return render_page(results / "laptop", load_sections(results / "sections"), "laptop", root=results)


def test_self_contained_and_escaped(results: Path) -> None:
    html = page(results)
    markup = re.sub(r"<script.*?</script>", "", html, flags=re.S)
    loaded = re.findall(r"<(?:link|img|iframe)[^>]*(?:src|href)=\"([^\"]+)\"", markup)
    assert "<script src" not in html
    assert all(source.startswith("data:") for source in loaded)
    assert "<script>alert(1)" not in html
    assert len(html) < 5_000_000
    assert "Does it <em>help</em>?" in html


def test_a_row_of_the_ledger_carries_all_that_is_known_of_its_claim(results: Path) -> None:
    [row] = re.findall(
        r"<tr><td><span class=.badge(?:(?!</tr>).)*<code>c1</code>.*?</tr>", page(results), flags=re.S
    )
    for part in ("0.5 [0.4, 0.6]", "&lt; 1", "contradicted", "live", "x.parquet", "It is a MASE.",
                 "snakemake results/laptop/x.parquet", "section 1", "1.0238"):  # fmt: skip
        assert part in row, part


def test_a_figure_names_the_claims_it_touches(results: Path) -> None:
    [figure] = re.findall(r"<figure>(?:(?!</figure>).)*The gap.*?</figure>", page(results), flags=re.S)
    assert "1 related claim" in figure
    assert "<code>c1</code>" in figure
    assert "<code>c2</code>" not in figure


def test_missing_results_are_named_with_their_command(results: Path) -> None:
    html = page(results)
    assert "snakemake --cores all results/laptop/figures/gap.svg" in html
    assert "snakemake --cores all results/laptop/tables/t.parquet" in html


def test_a_table_without_rows_says_so(results: Path) -> None:
    write_parquet(results / "laptop/tables/t.parquet", pd.DataFrame(), Provenance("table"))
    assert "This scale has none of these results." in page(results)


def test_tables_and_findings_are_shown(results: Path) -> None:
    frame = pd.DataFrame({"run": ["a/b/c"], "hidden": [1], "value": [0.123456789]})
    write_parquet(results / "laptop" / "tables" / "t.parquet", frame, Provenance("table", seed=3))
    html = page(results)
    assert "0.12346" in html
    assert ">hidden<" not in html
    assert "It is a MASE." in html
    assert "snakemake --cores all laptop/tables/t.parquet" in html


def test_a_file_that_cannot_be_read_does_not_stop_the_page(results: Path) -> None:
    (results / "laptop/tables").mkdir(parents=True, exist_ok=True)
    (results / "laptop/tables/t.parquet").write_bytes(b"torn")
    html = page(results)
    assert "cannot be read" in html
    assert "snakemake --cores all results/laptop/tables/t.parquet" in html


def test_the_sections_name_claims_of_their_own_notes() -> None:
    """Every pattern fits a claim, and no figure speaks of another study's note."""
    ids = [claim.id for claim in load_claims(ROOT / "workflow" / "studies")]
    for section in load_sections(ROOT / "workflow" / "studies"):
        assert section.headline in [figure.file for figure in section.figures]
        for figure in section.figures:
            for pattern in figure.claims:
                fits = [name for name in ids if fnmatchcase(name, pattern)]
                assert fits, f"{figure.file}: no claim fits {pattern}"
                assert {name[:3] for name in fits} <= set(section.notes), pattern


def test_snakemakes_report_carries_the_same_captions() -> None:
    """Every figure and table of the sections has its caption there, as reStructuredText without a fault."""
    captions = page_captions(ROOT / "workflow" / "studies")
    sections = load_sections(ROOT / "workflow" / "studies")
    assert set(captions) == {shown.file for section in sections for shown in section.figures + section.tables}
    template = jinja2.Template((ROOT / "workflow" / "report" / "figure.rst").read_text(encoding="utf-8"))
    for section in sections:
        for figure in section.figures:
            wildcards = SimpleNamespace(figure=figure.file.removeprefix("figures/"), scale="laptop")
            text = template.render(
                snakemake=SimpleNamespace(config={"captions": captions}, wildcards=wildcards)
            )
            html = publish_string(text, writer="html", settings_overrides={"halt_level": 2}).decode()
            assert figure.caption.split()[0] in html
            assert "laptop" in html


def test_figures_stay_what_they_show_and_get_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with styled():
        for name, points in (("few", 20), ("many", 5000)):
            figure, axes = plt.subplots()
            axes.scatter(*rng.normal(size=(2, points)), s=1 + rng.random(points))
            axes.set_xlabel('<b> & "50 %" #1')
            save(figure, tmp_path / name)
    few, many = embedded(tmp_path / "few"), embedded(tmp_path / "many")
    assert few is not None
    assert few.startswith("data:image/svg+xml,")
    assert not set('"<>&#') & set(few)
    shown = ElementTree.fromstring(unquote(few.partition(",")[2]))
    drawn = ElementTree.parse(tmp_path / "few.svg").getroot()
    marks = "{http://www.w3.org/2000/svg}use"
    assert len(list(shown.iter(marks))) == len(list(drawn.iter(marks))) >= 20
    assert many is not None
    assert many.startswith("data:image/png;base64,")
    assert len(many) < (tmp_path / "many.svg").stat().st_size / 2
    assert len(str(thumbnail(tmp_path / "many"))) < len(many)
    assert (
        slim('<g transform="translate(72.123456 0.015625)"/>') == '<g transform="translate(72.12 0.01562)"/>'
    )
    assert embedded(tmp_path / "none") is None
    assert thumbnail(tmp_path / "none") is None


def test_few_coloured_marks_among_much_text_keep_their_colours(tmp_path: Path) -> None:
    with styled():
        figure, axes = plt.subplots()
        axes.text(0.0, 0.5, "\n".join(["much grey text " * 5] * 20), fontsize=5, color="0.3", in_layout=False)
        colours = plt.get_cmap("viridis")(np.linspace(0, 1, 12))
        axes.scatter(np.linspace(0, 1, 12), np.zeros(12), c=colours, s=60)
        save(figure, tmp_path / "marks")
    text = str(thumbnail(tmp_path / "marks"))
    shown = Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2]))).convert("RGB")
    pixels = np.asarray(shown, float).reshape(-1, 3)
    for colour in colours:
        assert np.abs(pixels - 255 * colour[:3]).max(axis=1).min() < 30


@pytest.mark.parametrize("broken", [SECTION.replace("set_up", "setup"), SECTION + "colour: red\n"])
def test_a_broken_section_is_named(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(broken)
    with pytest.raises(InputError, match=r"broken\.yaml: (setup|colour): unknown key"):
        load_section(path)
