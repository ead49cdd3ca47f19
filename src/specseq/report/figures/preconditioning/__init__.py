"""Figures of the preconditioning study."""
