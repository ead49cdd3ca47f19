"""Zeros of the Riemann zeta function: computing, proving complete, reading and writing."""
