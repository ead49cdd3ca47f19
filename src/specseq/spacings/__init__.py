"""Models of the spacings between zeros of the zeta function, and reference predictors."""
