"""Make the report page of a scale from its results."""

from pathlib import Path

from specseq.stages import arguments


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="results folder of the scale")
    parser.add_argument("--sections", type=Path, required=True, help="folder of section files")
    parser.add_argument("--scale", required=True)
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")
    options = parser.parse_args()

    from specseq.report.page import load_sections, render_page
    from specseq.tables.files import write_text

    write_text(options.out, render_page(options.results, load_sections(options.sections), options.scale))


if __name__ == "__main__":
    arguments.run(main)
