"""A table of zeros checked from its numbers alone."""

from specseq.zeros.selection import Zeros
from specseq.zeros.verification import Verifier


def verify(zeros: Zeros, window: int = 4096) -> Verifier:
    """The verifier after all of the zeros, given at once."""
    verifier = Verifier(window)
    verifier.add(zeros)
    verifier.finish()
    return verifier
