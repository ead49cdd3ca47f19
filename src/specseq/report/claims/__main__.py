"""``python -m specseq.report.claims``: the JSON schema of claim files, as YAML."""

from typing import Any

import yaml

from specseq.report.claims.language import Note
from specseq.settings import schema


def _untitled(part: Any) -> Any:
    """Without the titles that repeat the names of keys."""
    if isinstance(part, dict):
        return {k: _untitled(v) for k, v in part.items() if not (k == "title" and isinstance(v, str))}
    return [_untitled(entry) for entry in part] if isinstance(part, list) else part


def schema_text() -> str:
    """What ``workflow/schemas/claims.schema.yaml`` holds."""
    return yaml.safe_dump(_untitled(schema(Note)), sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    print(schema_text(), end="")
