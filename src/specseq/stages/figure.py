"""Stage ``figure``: one figure as SVG, PNG and PDF, from result files."""

from pathlib import Path

from specseq.report.style import name_scale, save, styled
from specseq.settings import STRICT, Field, dataclass
from specseq.stages.request import serve
from specseq.studies import maker


@dataclass(frozen=True, config=STRICT, kw_only=True)
class FigureRequest:
    """A figure to draw."""

    name: str = Field(description="name of the figure; its study declares what draws it")
    inputs: dict[str, tuple[Path, ...]] = Field(description="files that it is drawn from, by name")
    svg: Path = Field(description="SVG file to write; PNG and PDF go beside it")
    png: Path
    pdf: Path
    scale: str | None = Field(None, description="scale of the results, written above the figure")


def main(request: FigureRequest) -> None:
    """Draw and write the figure."""
    inputs = {name: list(files) for name, files in request.inputs.items()}
    with styled():
        params = {} if request.scale is None else {"scale": request.scale}
        figure = maker("figures", request.name)(inputs, params)
        if request.scale is not None:
            name_scale(figure, request.scale)
        save(figure, request.svg.with_suffix(""))


if __name__ == "__main__":
    serve(FigureRequest, main, __doc__)
