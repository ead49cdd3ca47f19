"""Stage ``report_page``: the report page of a scale."""

from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import Any

from specseq.report.page import load_sections, render_page
from specseq.settings import STRICT, Field, dataclass
from specseq.stages.request import serve
from specseq.studies import answers, maker, products
from specseq.tables.files import write_text


@dataclass(frozen=True, config=STRICT, kw_only=True)
class PageRequest:
    """A report page to make from the results of a scale."""

    folder: Path = Field(description="the scale's folder of results")
    studies: Path = Field(description="folder of the studies, each with page.yaml")
    scale: str = Field(description="name of the scale")
    out: Path = Field(description="HTML file to write")
    lost: tuple[dict[str, Any], ...] = Field(
        default=(), description="jobs that failed or could not begin, whose results the page lacks"
    )


def main(request: PageRequest) -> None:
    """Make the page."""
    sections = load_sections(request.studies)
    made = render_page(request.folder, sections, request.scale, explanations(), answers(), lost=request.lost)
    write_text(request.out, made)


def explanations() -> dict[str, str]:
    """File of each comparison table -> what it and its columns mean."""
    return {f"tables/{name}.parquet": _explanation(maker("tables", name)) for name in products("tables")}


def _explanation(make: Any) -> str:
    """Docstring of a table's function, or else of its module: it explains the table and its columns."""
    own = (getdoc(make) or "").partition("Args:")[0].strip()
    return own or getdoc(import_module(make.__module__)) or ""


if __name__ == "__main__":
    serve(PageRequest, main, __doc__)
