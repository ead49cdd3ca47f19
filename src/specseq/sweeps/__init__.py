"""From config files to runs: studies, scales, sweeps."""

from specseq.sweeps.files import Config, read_config
from specseq.sweeps.plan import Plan
from specseq.sweeps.scale import Kinds, without_seed
from specseq.yaml_files import read_yaml

__all__ = ["Config", "Kinds", "Plan", "read_config", "read_yaml", "without_seed"]
