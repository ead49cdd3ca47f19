"""All results of the study ``zeta`` as they are; see :mod:`specseq.report.tables.long_results`."""

from specseq.report.tables.long_results import make

__all__ = ["make"]
