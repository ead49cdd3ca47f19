import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.errors import InputError
from specseq.series.frequency import UNITS, parse_frequency, stated_frequency


@pytest.mark.parametrize(
    ("alias", "normal"),
    [
        ("BH", "H"),
        ("BMS", "M"),
        ("H", "H"),
        ("h", "H"),
        ("min", "T"),
        ("T", "T"),
        ("1T", "T"),
        ("15T", "15T"),
        ("15min", "15T"),
        ("60min", "H"),
        ("3600S", "H"),
        ("90T", "90T"),
        ("10S", "10S"),
        ("ME", "M"),
        ("MS", "M"),
        ("W-SUN", "W"),
        ("W-THU", "W"),
        ("Q-DEC", "Q"),
        ("QE-MAR", "Q"),
        ("A-DEC", "A"),
        ("YE", "A"),
        ("YE-DEC", "A"),
        ("AS-JAN", "A"),
        ("B", "B"),
        ("24H", "24H"),
        (" D ", "D"),
    ],
)
def test_aliases_have_one_spelling(alias: str, normal: str) -> None:
    assert parse_frequency(alias).alias == normal


@pytest.mark.parametrize(
    "alias", ["", "X", "m", "0H", "H-SUN", "W-DEC", "15", "T15", "hourly", "-1H", "1.5H", f"{10**21}H"]
)
def test_unknown_alias_is_an_input_error_that_names_it(alias: str) -> None:
    with pytest.raises(InputError, match="unknown frequency alias") as caught:
        parse_frequency(alias, "corpus/freq")
    assert repr(alias) in str(caught.value)
    assert str(caught.value).startswith("corpus/freq")


@pytest.mark.parametrize(
    ("alias", "season"),
    [
        *[("10S", 360), ("5T", 288), ("10T", 144), ("15T", 96), ("H", 24), ("D", 1), ("W", 1), ("M", 12)],
        *[("Q", 4), ("A", 1), ("7T", 1), ("24H", 1), ("48H", 1), ("B", 5)],
        *[("60S", 60), ("300S", 12), ("3600S", 1), ("60T", 24), ("1440T", 1), ("BH", 1), ("BMS", 1)],
    ],
)
def test_season_lengths_are_those_of_gift_eval(alias: str, season: int) -> None:
    assert stated_frequency(alias).season_length == season


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10_000), st.sampled_from(UNITS))
def test_normalising_twice_changes_nothing(multiple: int, unit: str) -> None:
    once = parse_frequency(f"{multiple}{unit}").alias
    assert parse_frequency(once).alias == once


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=8))
def test_any_text_is_a_frequency_or_an_input_error(text: str) -> None:
    try:
        unit = parse_frequency(text).unit
    except InputError:
        return
    assert unit in UNITS
