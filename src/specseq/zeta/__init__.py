"""Zeros of the zeta function, models of their spacings, and what the models know of them."""
