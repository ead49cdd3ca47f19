"""Make the report page of a scale from its results."""

from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import Any

from specseq.stages import arguments
from specseq.studies import maker, products


def explanations() -> dict[str, str]:
    """File of each comparison table -> what it and its columns mean."""
    return {f"tables/{name}.parquet": _explanation(maker("tables", name)) for name in products("tables")}


def _explanation(make: Any) -> str:
    """What a table's function, or else its module, says of the table and its columns."""
    own = (getdoc(make) or "").partition("Args:")[0].strip()
    return own or getdoc(import_module(make.__module__)) or ""


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="results folder of the scale")
    parser.add_argument(
        "--sections", type=Path, required=True, help="folder of the studies, each with page.yaml"
    )
    parser.add_argument("--scale", required=True)
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")
    options = parser.parse_args()

    from specseq.report.page import load_sections, render_page
    from specseq.tables.files import write_text

    page = render_page(options.results, load_sections(options.sections), options.scale, explanations())
    write_text(options.out, page)


if __name__ == "__main__":
    arguments.run(main)
