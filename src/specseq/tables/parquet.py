"""Read and write result Parquet: whole or not at all, provenance in the footer."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from specseq.errors import InputError
from specseq.tables.files import atomic_path
from specseq.tables.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.compute as pc

_KEY = b"specseq"


def write_parquet(
    target: str | os.PathLike[str], table: "pa.Table | pd.DataFrame", provenance: Provenance
) -> None:
    """Write a table atomically with its provenance in the footer.

    Args:
        target: path of the Parquet file; its folder is made.
        table: Arrow table or data frame (the index is not kept).
        provenance: what produced the table.
    """
    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    footer = {**(table.schema.metadata or {}), _KEY: json.dumps(provenance.record(), default=str).encode()}
    with atomic_path(target) as path:
        pq.write_table(table.replace_schema_metadata(footer), path, compression="zstd")


def write_csv(target: str | os.PathLike[str], frame: "pd.DataFrame") -> None:
    """Write a CSV beside a Parquet, atomically, floats with every digit that matters."""
    with atomic_path(target) as path:
        frame.to_csv(path, index=False, lineterminator="\n")


def read_parquet(
    source: str | os.PathLike[str], columns: list[str] | None = None, where: "pc.Expression | None" = None
) -> "pd.DataFrame":
    """Read a result table, or the rows of it to which ``where`` applies.

    Raises:
        InputError: the file is missing, is not Parquet or lacks a column.
    """
    return _read(source, columns, where).to_pandas()


def read_all(
    sources: Sequence[str | os.PathLike[str]],
    where: "pc.Expression | None" = None,
    columns: list[str] | None = None,
) -> "pd.DataFrame":
    """Rows of several result tables, one below the other.

    A file's rows are filtered as they are read, so that memory holds those of all files that are wanted and
    no more than one file beside them.

    Args:
        sources: the files, at least one.
        where: rows to keep; None keeps all.
        columns: columns to keep, in that order; None keeps all.

    Raises:
        InputError: a file is missing, is not Parquet or lacks a column.
    """
    return pa.concat_tables(
        [_read(source, columns, where) for source in sources], promote_options="default"
    ).to_pandas(self_destruct=True, split_blocks=True)


def read_rows(source: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read a small result table as plain values, without pandas; see :func:`read_parquet`."""
    return _read(source).to_pylist()


def read_provenance(source: str | os.PathLike[str]) -> dict[str, Any]:
    """The provenance record of a result table; empty for a Parquet file of other making."""
    with _readable(source):
        footer = pq.read_schema(os.fspath(source)).metadata or {}
    return json.loads(footer.get(_KEY, b"{}"))


def _read(
    source: str | os.PathLike[str],
    columns: list[str] | None = None,
    where: "pc.Expression | None" = None,
) -> pa.Table:
    with _readable(source):
        return pq.read_table(os.fspath(source), columns=columns, partitioning=None, filters=where)


@contextmanager
def _readable(source: str | os.PathLike[str]) -> Iterator[None]:
    """Say what is wrong with a file that can't be read, and how to get it."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(source, "no such result", f"make it with: snakemake --cores all {source}") from None
    except (pa.ArrowInvalid, KeyError) as error:
        raise InputError(source, f"not a readable result table ({error})", "delete and remake it") from None
