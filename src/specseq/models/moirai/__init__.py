"""MOIRAI (Woo et al. 2024, arXiv:2402.02592) and its hybrids with spectral transform units."""
