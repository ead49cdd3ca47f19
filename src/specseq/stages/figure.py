"""Draw one figure as SVG, PNG and PDF from result files.

``--name NAME`` is a figure that a study declares; its ``draw(inputs, params)`` gets the named input files and
returns the figure. ``params.scale``, where it is given, is written above it.
"""

from pathlib import Path

from specseq.stages import arguments
from specseq.studies import maker


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--name", required=True, help="name of the figure and of its module")
    arguments.add_inputs(parser)
    parser.add_argument("--out", type=Path, required=True, help="path of the figure without suffix")
    options = parser.parse_args()
    arguments.check_keys(options.params, {"scale"})

    from specseq.report.style import name_scale, save, styled

    with styled():
        figure = maker("figures", options.name)(arguments.inputs(options), options.params)
        if "scale" in options.params:
            name_scale(figure, options.params["scale"])
        save(figure, options.out)


if __name__ == "__main__":
    arguments.run(main)
