"""A small text, prepared once."""

from pathlib import Path

import pytest

from specseq.equilibrium.text.config import Grammar, TextSettings
from specseq.equilibrium.text.store import prepare_text


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    prepare_text(folder, TextSettings(source=Grammar(characters=4000, states=3, symbols=6)))
    return folder
