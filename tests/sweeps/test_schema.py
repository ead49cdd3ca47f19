"""The schema that is checked in is the one that the settings classes give."""

from pathlib import Path

from specseq.studies.schema import FILE, config_schema, text

ROOT = Path(__file__).parents[2]


def test_the_schema_file_is_that_of_the_classes() -> None:
    assert (ROOT / FILE).read_text(encoding="utf-8") == text(), "run python -m specseq.studies.schema"


def test_what_a_config_may_say_is_described() -> None:
    schema = config_schema()
    for name in (
        "scale",
        "launcher",
        "partial",
        "slurm",
        "data",
        "downloads",
        "filters",
        "studies",
        "scales",
    ):
        assert schema["properties"][name]["description"], name
    for name in ("TrainingSettings", "DataSettings", "SlurmSettings", "Moirai2Config", "BlockShape"):
        for key, part in schema["$defs"][name]["properties"].items():
            assert part.get("description") or "$ref" in part or "const" in part, f"{name}.{key}"
