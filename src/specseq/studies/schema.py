"""The JSON schemas of ``config.yaml`` with every study's runs, and of claims, from the settings classes.

``python -m specseq.studies.schema`` writes them into ``workflow/schemas``; tests keep them true.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from specseq.report.claims.language import Note
from specseq.settings import schema
from specseq.studies import studies
from specseq.studies.config import DataSettings, WorkflowConfig

FILE, CLAIMS = Path("workflow/schemas/config.schema.yaml"), Path("workflow/schemas/claims.schema.yaml")
_HEAD = "# Made from the settings classes by `python -m specseq.studies.schema`; do not edit.\n"


def config_schema() -> dict[str, Any]:
    """The schema of ``config.yaml``; ``$defs.<study>`` is that of the parameters of one run of a study."""
    runs = {name: study.run for name, study in studies().items()}
    classes = {"config": WorkflowConfig, "data": DataSettings, **runs}
    adapters = [(name, "validation", TypeAdapter(kind)) for name, kind in classes.items()]
    refs, shared = TypeAdapter.json_schemas(adapters)  # type: ignore[arg-type]
    definitions = shared["$defs"]
    named = {name: refs[name, "validation"] for name in classes}
    whole = definitions.pop(named["config"]["$ref"].rpartition("/")[2])
    whole["properties"]["data"] |= named["data"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "config.yaml",
        **_shortened(whole),
        "$defs": _shortened({**{name: named[name] for name in runs}, **definitions}),
    }


def _shortened(part: Any) -> Any:
    """Without titles, which repeat keys, and defaults of sections, which repeat those of their classes."""
    if isinstance(part, list):
        return [_shortened(one) for one in part]
    if not isinstance(part, dict):
        return part
    left_out = {
        key for key in ("title", "default") if isinstance(part.get(key), dict if key == "default" else str)
    }
    return {key: _shortened(value) for key, value in part.items() if key not in left_out}


def text() -> str:
    """The schema of the config as its file holds it."""
    return _HEAD + yaml.safe_dump(
        config_schema(), sort_keys=False, width=110, allow_unicode=True, default_flow_style=None
    )


def claims_text() -> str:
    """The schema of claims as its file holds it."""
    return yaml.safe_dump(_shortened(schema(Note)), sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    for file, content in ((FILE, text()), (CLAIMS, claims_text())):
        file.write_text(content, encoding="utf-8")
        print(file)
