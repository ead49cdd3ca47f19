"""The toy study for the tests of the loop and of the launcher."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOY = Path(__file__).with_name("toy_study.py")


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """The module ``toy_study``."""
    if "toy_study" not in sys.modules:
        spec = importlib.util.spec_from_file_location("toy_study", TOY)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["toy_study"] = module
        spec.loader.exec_module(module)
    return sys.modules["toy_study"]
