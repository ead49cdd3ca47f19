"""From ``config.yaml`` to runs: scales, studies, sweeps."""

from specseq.sweeps.plan import Plan, load_plan, read_yaml, without_seed
from specseq.sweeps.validation import check_config

__all__ = ["Plan", "check_config", "load_plan", "read_yaml", "without_seed"]
