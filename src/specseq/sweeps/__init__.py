"""From config files to runs: studies, scales, sweeps."""

from specseq.sweeps.files import Config, read_config
from specseq.sweeps.plan import Plan
from specseq.sweeps.scale import Kinds, without_seed

__all__ = ["Config", "Kinds", "Plan", "read_config", "without_seed"]
