"""Result tables: atomic Parquet with provenance in its footer, and the one long shape they share."""

from specseq.tables.long import LONG_COLUMNS, long_frame
from specseq.tables.parquet import read_parquet, read_provenance, write_csv, write_parquet
from specseq.tables.provenance import Provenance, digest

__all__ = [
    "LONG_COLUMNS",
    "Provenance",
    "digest",
    "long_frame",
    "read_parquet",
    "read_provenance",
    "write_csv",
    "write_parquet",
]
