"""The spectral transform unit: convolution with eigenvectors of a Hankel matrix, in place of attention."""
