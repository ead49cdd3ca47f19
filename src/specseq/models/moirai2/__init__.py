"""Moirai 2.0 (arXiv:2511.11698): model, preconditioned training, forecasts."""
