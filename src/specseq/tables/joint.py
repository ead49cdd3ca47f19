"""Rows of many result tables as one stream: what concatenating their frames would give, a batch at a time."""

import os
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from specseq.errors import InputError
from specseq.tables.long import kinds_in_pandas, pandas_types
from specseq.tables.parquet import readable


def joint_schema(sources: Sequence[str | os.PathLike[str]], added: Sequence[pa.Field] = ()) -> pa.Schema:
    """Columns and types of the rows of several result tables, one below the other, and of columns ``added``.

    Columns stand in the order in which files first have them. Whole numbers that are missing somewhere are
    floats, as pandas has them.

    Raises:
        InputError: a file is missing or is not Parquet, or has a column of another type than others.
    """
    joint, present, kinds = pa.schema([]), [], dict[str, str | None]()
    for source in sources:
        with readable(source):
            metadata = pq.read_metadata(os.fspath(source))
        schema = metadata.schema.to_arrow_schema()
        own = kinds_in_pandas(schema)
        kinds |= {
            name: own.get(name) if kinds.get(name, own.get(name)) == own.get(name) else None
            for name in schema.names
        }
        fields = [
            pa.field(field.name, _promoted(field.type, _has_nulls(metadata, place)))
            for place, field in enumerate(schema)
        ]
        present.append({field.name for field in fields if not pa.types.is_null(field.type)})
        try:
            joint = pa.unify_schemas([joint, pa.schema([*fields, *added])], promote_options="permissive")
        except pa.ArrowTypeError as error:
            fault = f"a column is of another type than in other results ({error})"
            raise InputError(source, fault, "delete and remake it") from None
    whole = set.intersection(*present, set(joint.names)) | {field.name for field in added}
    fields = [pa.field(field.name, _promoted(field.type, field.name not in whole)) for field in joint]
    return pa.schema(fields, pandas_types({name: kind for name, kind in kinds.items() if kind}))


def _has_nulls(metadata: pq.FileMetaData, place: int) -> bool:
    """Whether a column holds nulls; assumed if the file does not say."""
    chunks = (metadata.row_group(group).column(place).statistics for group in range(metadata.num_row_groups))
    return any(chunk is None or chunk.null_count is None or chunk.null_count > 0 for chunk in chunks)


def _promoted(kind: pa.DataType, missing: bool) -> pa.DataType:
    return pa.float64() if missing and pa.types.is_integer(kind) else kind


def fitted(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatchReader:
    """Batches with some of a schema's columns as a stream with all; missing values and NaN are null."""
    return pa.RecordBatchReader.from_batches(schema, (_fitted(batch, schema) for batch in batches))


def _fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field in schema:
        place = batch.schema.get_field_index(field.name)
        if place < 0:
            columns.append(pa.nulls(len(batch), field.type))
            continue
        column = batch.column(place).cast(field.type, safe=False)
        if pa.types.is_floating(field.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, field.type), column)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)
