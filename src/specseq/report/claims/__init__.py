"""The claims ledger: every figure and statement of the notes, with the verdict that evidence gives it.

``load`` reads the notes' claims, ``ledger`` judges them against the result files of one scale.
"""

from specseq.report.claims.language import KINDS, STATUSES, VERDICTS, files
from specseq.report.claims.ledger import COLUMNS, Entry, ledger, ledger_frame
from specseq.report.claims.loading import Claim, load

__all__ = [
    "COLUMNS",
    "KINDS",
    "STATUSES",
    "VERDICTS",
    "Claim",
    "Entry",
    "files",
    "ledger",
    "ledger_frame",
    "load",
]
