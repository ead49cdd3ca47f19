"""Publication figures: one module a figure, one style for all."""
