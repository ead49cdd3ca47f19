"""The spectral transform unit: convolution with eigenvectors of a Hankel matrix instead of attention."""
