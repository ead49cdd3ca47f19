"""What MOIRAI and its hybrids cost, and what leaks between the samples that they pack."""
