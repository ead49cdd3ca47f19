"""Read and write result Parquet: whole or not at all, provenance in the footer."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
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
ROW_GROUP = 2**17
"""Rows of a stream in memory at once; few enough that a reader of one run skips those of others."""


def write_parquet(
    target: str | os.PathLike[str],
    table: "pa.Table | pa.RecordBatchReader | pd.DataFrame",
    provenance: Provenance,
) -> None:
    """Write a table atomically with its provenance in the footer; the folder is made.

    The index of a data frame is not kept; of a stream, at most :data:`ROW_GROUP` rows are held at once.
    """
    if isinstance(table, pa.RecordBatchReader):
        with atomic_path(target) as path:
            _write_stream(path, table, provenance)
        return
    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    footer = {**(table.schema.metadata or {}), _KEY: _record(provenance)}
    with atomic_path(target) as path:
        pq.write_table(table.replace_schema_metadata(footer), path, compression="zstd")


def _record(provenance: Provenance) -> bytes:
    return json.dumps(provenance.record(), default=str).encode()


def _write_stream(path: "os.PathLike[str]", stream: pa.RecordBatchReader, provenance: Provenance) -> None:
    with pq.ParquetWriter(path, stream.schema, compression="zstd") as writer:
        held: list[pa.RecordBatch] = []
        for batch in stream:
            held.append(batch)
            if sum(map(len, held)) >= ROW_GROUP:
                writer.write_table(pa.Table.from_batches(held), ROW_GROUP)
                held = []
        writer.write_table(pa.Table.from_batches(held, stream.schema))
        # The time it took is known only at the end.
        writer.add_key_value_metadata({_KEY: _record(provenance)})


def write_csv(target: str | os.PathLike[str], frames: "pd.DataFrame | Iterable[pd.DataFrame]") -> None:
    """Write a CSV beside a Parquet, atomically, floats with every digit that matters.

    Parts of the rows, at least one, have the same columns.
    """
    parts = [frames] if hasattr(frames, "to_csv") else frames
    with atomic_path(target) as path, path.open("w", encoding="utf-8", newline="") as file:
        for number, part in enumerate(parts):
            part.to_csv(file, header=number == 0, index=False, lineterminator="\n")


def read_parts(source: str | os.PathLike[str]) -> "Iterator[pd.DataFrame]":
    """The rows of a result table in parts of :data:`ROW_GROUP`; one without rows has one part.

    Raises:
        InputError: the file is missing or is not Parquet.
    """
    with readable(source), pq.ParquetFile(os.fspath(source)) as file:
        if not file.metadata.num_rows:
            yield file.schema_arrow.empty_table().to_pandas()
        for batch in file.iter_batches(ROW_GROUP):
            yield pa.Table.from_batches([batch]).to_pandas()


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
    """Rows of several result tables, at least one, below each other; all rows and columns by default.

    Rows are filtered as each file is read, so that memory holds the wanted rows of all files and at most one
    whole file.

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
    """The provenance record of a result table; empty for a Parquet file of other origin."""
    with readable(source):
        footer = pq.read_metadata(os.fspath(source)).metadata or {}
    return json.loads(footer.get(_KEY, b"{}"))


def _read(
    source: str | os.PathLike[str],
    columns: list[str] | None = None,
    where: "pc.Expression | None" = None,
) -> pa.Table:
    with readable(source):
        return pq.read_table(os.fspath(source), columns=columns, partitioning=None, filters=where)


@contextmanager
def readable(source: str | os.PathLike[str]) -> Iterator[None]:
    """Within the block, a file that can't be read is an :class:`InputError` that says how to get it."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(source, "no such result", f"make it with: snakemake --cores all {source}") from None
    except (pa.ArrowInvalid, KeyError) as error:
        raise InputError(source, f"not a readable result table ({error})", "delete and remake it") from None
