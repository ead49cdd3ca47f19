"""Claims and pages are read when the report is planned, not when its results are there."""

import shutil
from pathlib import Path

import pytest

from specseq.errors import InputError
from specseq.studies.reports import check_reports, page_captions

STUDIES = Path(__file__).parents[2] / "workflow" / "studies"


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("claims.yaml", "title:", "titel:", "claims.yaml: titel: unknown key; did you mean title"),
        ("claims.yaml", "relation:", "relatoin:", "relatoin: unknown key; did you mean relation"),
        ("claims.yaml", "note:", "note: x\nnote:", "the key 'note' is also in line"),
        ("page.yaml", "study: zeta", "study: zetta", "study: there is no 'zetta'; did you mean zeta"),
        (
            "page.yaml",
            "figures/zeta_masks",
            "figures/zeta_mask",
            "no study makes 'figures/zeta_mask'",
        ),
        ("page.yaml", "tables/zeta.parquet", "tables/zeat.parquet", "no study makes 'tables/zeat.parquet'"),
        ("page.yaml", "headline: figures/zeta_leak", "headline: figures/z", "headline: no study makes"),
        ("page.yaml", '"003.leak.*"', '"003.leek.*"', "no claim is called '003.leek.*'"),
        ("page.yaml", "    caption:", "    captoin:", "figures.0.captoin: unknown key; did you mean caption"),
        ("page.yaml", "title:", "\ttitle:", "page.yaml, line 2: "),
        ("page.yaml", None, "", "page.yaml: null is not a mapping"),
    ],
)
def test_a_fault_is_named_with_its_file(
    tmp_path: Path, file: str, old: str | None, new: str, fault: str
) -> None:
    shutil.copytree(STUDIES, tmp_path / "studies")
    path = tmp_path / "studies" / "zeta" / file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, new, 1) if old else new, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        check_reports(tmp_path / "studies")
    assert str(caught.value).startswith(str(path))
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_captions_of_a_faulty_page(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "page.yaml").write_text("study: toy\nfigurs: []\n")
    with pytest.raises(InputError, match=r"page.yaml: figurs: unknown key; did you mean figures"):
        page_captions(tmp_path)
