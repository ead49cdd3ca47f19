"""Zeros of the Riemann zeta function: computed, proven complete, read and written."""
