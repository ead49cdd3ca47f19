"""What is wrong in plain values is said in one line: the place, the fault, the nearest known word."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass, near, plain, read, schema


@dataclass(frozen=True, config=STRICT)
class Circle:
    radius: float = Field(gt=0)
    kind: Literal["circle"] = "circle"


@dataclass(frozen=True, config=STRICT)
class Square:
    side: float = Field(ge=0, le=10)
    kind: Literal["square"] = "square"


Shape = Annotated[Circle | Square, Field(discriminator="kind")]


@dataclass(frozen=True, config=STRICT)
class Drawing:
    width: int = Field(ge=1, description="points")
    mode: Literal["plain", "striped"] = "plain"
    bold: bool = False
    sizes: tuple[int, ...] = Field(default=(1, 2), min_length=1)
    pair: tuple[float, float] = (0.0, 1.0)
    shape: Shape = Circle(1.0)
    names: Mapping[str, float] | None = None
    height: int | Literal["same"] | None = None

    def __post_init__(self) -> None:
        if self.height == self.width:
            raise InputError("height", f"{self.height} is the width", "write same")


def test_plain_values_become_settings_and_come_back() -> None:
    given = {
        "width": 3,
        "mode": "striped",
        "bold": True,
        "sizes": [4],
        "pair": [1, 2.5],
        "shape": {"side": 2.0, "kind": "square"},
        "names": {"a": 1.0},
        "height": "same",
    }
    drawing = read(Drawing, given, "drawing")
    assert drawing.shape == Square(2.0)
    assert plain(drawing) == given
    assert read(Drawing, plain(drawing), "drawing") == drawing
    assert read(Drawing, {"width": 1}, "drawing") == Drawing(1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"widht": 3}, "drawing.widht: unknown key; did you mean width?"),
        ({"radius": 3}, "drawing.radius: unknown key; did you mean shape.radius?"),
        ({"kind": "square"}, "drawing.kind: unknown key; did you mean shape.kind?"),
        ({"kind": "line"}, "drawing.kind: unknown key; known: width, mode, bold, sizes, pair, shape"),
        ({"width": 0}, "drawing.width: 0 is not at least 1"),
        ({"width": "3"}, "drawing.width: '3' is not a whole number"),
        ({"width": 2.5}, "drawing.width: 2.5 is not a whole number"),
        ({"width": True}, "drawing.width: true is not a whole number"),
        ({"width": None}, "drawing.width: null is not a whole number"),
        ({}, "drawing.width: is missing; add it"),
        ([], "drawing: [] is not a mapping"),
        ({"width": 1, "mode": "stripd"}, "drawing.mode: 'stripd' is unknown; did you mean striped?"),
        ({"width": 1, "mode": 7}, "drawing.mode: 7 is unknown; known: plain, striped"),
        ({"width": 1, "bold": "yes"}, "drawing.bold: 'yes' is not true or false"),
        ({"width": 1, "sizes": 3}, "drawing.sizes: 3 is not a list"),
        ({"width": 1, "sizes": []}, "drawing.sizes: [] is not a list of 1 or more"),
        ({"width": 1, "sizes": [1, "x"]}, "drawing.sizes.1: 'x' is not a whole number"),
        ({"width": 1, "pair": [0.5]}, "drawing.pair.1: is missing; add it"),
        ({"width": 1, "pair": [1, float("nan")]}, "drawing.pair.1: nan is not a finite number"),
        ({"width": 1, "pair": [1, float("inf")]}, "drawing.pair.1: inf is not a finite number"),
        (
            {"width": 1, "shape": {"kind": "cirle"}},
            "drawing.shape.kind: 'cirle' is unknown; did you mean circle?",
        ),
        ({"width": 1, "shape": {"side": 1}}, "drawing.shape.kind: is missing; add it"),
        ({"width": 1, "shape": {"kind": "circle"}}, "drawing.shape.radius: is missing; add it"),
        ({"width": 1, "shape": {"kind": "circle", "radius": 0}}, "drawing.shape.radius: 0 is not above 0"),
        ({"width": 1, "shape": {"kind": "square", "side": 11}}, "shape.side: 11 is not at most 10"),
        (
            {"width": 1, "shape": {"kind": "circle", "radious": 1}},
            "drawing.shape.radious: unknown key; did you mean radius?",
        ),
        ({"width": 1, "names": {"a": "b"}}, "drawing.names.a: 'b' is not a number"),
        ({"width": 1, "names": 4}, "drawing.names: 4 is not a mapping"),
        ({"width": 1, "height": "equal"}, "drawing.height: 'equal' is"),
        ({"width": 1, "height": 1}, "drawing.height: 1 is the width; write same"),
    ],
)
def test_mistakes_are_one_line(given: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(Drawing, given, "drawing")
    assert str(caught.value).startswith(message) or message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_near_words() -> None:
    assert near("Zeta", ["zeta", "stu"]) == "did you mean zeta?"
    assert near("x", []) == "known: none"
    assert near("x", map(str, range(20))) == f"known: {', '.join(map(str, range(12)))} and 8 more"


def test_the_schema_has_descriptions() -> None:
    assert schema(Drawing)["properties"]["width"] == {
        "description": "points",
        "minimum": 1,
        "title": "Width",
        "type": "integer",
    }
