"""Moirai 2.0 (arXiv:2511.11698): model, preconditioned training, forecasts."""

from specseq.models.moirai2.forecaster import Moirai2Forecaster, load

__all__ = ["Moirai2Forecaster", "load"]
