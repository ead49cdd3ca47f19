"""specseq: reproduces, extends and audits four studies of sequence models by their spectra."""

__version__ = "0.1.0"
