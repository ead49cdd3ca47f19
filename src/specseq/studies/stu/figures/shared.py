"""What the figures of the STU study share: labels, colours and order of the models."""

from collections.abc import Iterable

NAMES = {
    "attention": "attention",
    "alternating": "alternating, shared filter",
    "signed": "alternating, signed filters",
    "matched_shared": "shared, matched parameters",
    "matched": "signed, matched parameters",
    "sandwich": "signed, sandwich",
    "stu_only": "STU only",
    "first_half": "STU first",
    "last_half": "STU last",
    "parallel": "gated beside attention",
    "full": "full matrices",
    "by_variate": "signed, by variate",
    "published": "alternating, circular",
}


def label(group: str) -> str:
    """``stu/as_printed/matched`` as ``signed, matched parameters``."""
    point = group.rsplit("/", 1)[-1]
    return NAMES.get(point, point)


def in_order(groups: Iterable[str]) -> list[str]:
    """Groups in the order of :data:`NAMES`."""
    places = {name: place for place, name in enumerate(NAMES)}
    return sorted(groups, key=lambda group: places.get(group.rsplit("/", 1)[-1], len(places)))


def colour(group: str) -> str:
    """The same colour for a model in every figure."""
    names = list(NAMES)
    point = group.rsplit("/", 1)[-1]
    place = names.index(point) if point in names else len(names)
    return "0.15" if point == "attention" else f"C{(place - 1) % 8}"
