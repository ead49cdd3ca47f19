"""From ``config.yaml`` to runs: scales, studies, sweeps."""

from specseq.sweeps.layers import read_yaml
from specseq.sweeps.plan import Plan, load_plan, without_seed
from specseq.sweeps.validation import check_config

__all__ = ["Plan", "check_config", "load_plan", "read_yaml", "without_seed"]
