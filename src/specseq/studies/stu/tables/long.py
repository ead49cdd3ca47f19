"""All results of the study ``stu`` as they are; see :mod:`specseq.report.tidy`."""

from specseq.report.tidy import make

__all__ = ["make"]
