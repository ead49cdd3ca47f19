"""Comparison tables: each module makes one from the long results of runs."""
