"""Result tables: atomic Parquet with provenance in its footer, and the one long shape they share.

Writing needs no pandas, whose import takes longer than the work of many stages.
"""

from specseq.tables.long import LONG_COLUMNS, long_table
from specseq.tables.parquet import (
    read_all,
    read_parquet,
    read_parts,
    read_provenance,
    read_rows,
    write_csv,
    write_parquet,
)
from specseq.tables.provenance import Provenance, digest

__all__ = [
    "LONG_COLUMNS",
    "Provenance",
    "digest",
    "long_table",
    "read_all",
    "read_parquet",
    "read_parts",
    "read_provenance",
    "read_rows",
    "write_csv",
    "write_parquet",
]
