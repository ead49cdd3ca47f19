"""Draw one figure as SVG, PNG and PDF from result files.

``--name NAME`` selects the module ``specseq.report.figures.NAME``; its
``draw(inputs, params)`` gets the named input files and returns the figure.
"""

from importlib import import_module
from pathlib import Path

from specseq.stages import arguments


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--name", required=True, help="name of the figure and of its module")
    arguments.add_inputs(parser)
    parser.add_argument("--out", type=Path, required=True, help="path of the figure without suffix")
    options = parser.parse_args()

    from specseq.report.figures.style import save, styled

    module = import_module(f"specseq.report.figures.{options.name}")
    with styled():
        save(module.draw(arguments.inputs(options), options.params), options.out)


if __name__ == "__main__":
    arguments.run(main)
