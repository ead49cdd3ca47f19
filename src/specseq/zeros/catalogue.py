"""Tables of zeros: computed in parallel, in pieces that survive an interruption, and written atomically.

Columns of the Parquet file: ``n`` (index, the first zero is 1), ``gamma`` (ordinate as a double), ``t0`` and
``delta`` (γ = t0 + delta is good to about 1e-12, while gamma alone is rounded to a double). The footer
records how completeness was shown.
"""

import dataclasses
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from specseq.errors import InputError
from specseq.progress import Progress
from specseq.settings import STRICT, Field, dataclass, plain
from specseq.tables import Provenance
from specseq.tables.files import atomic_path
from specseq.zeros.blocks import ZEROS_BELOW_LOWEST, Block, contiguous, find
from specseq.zeros.config import HIGHEST, ZeroRange, ZeroSource
from specseq.zeros.counts import smooth_count
from specseq.zeros.pieces import computed, open_parts
from specseq.zeros.platt import read_platt_range
from specseq.zeros.selection import Zeros, part_of, stretches
from specseq.zeros.verification import TOLERANCE, Verifier

SCHEMA = pa.schema(
    [("n", pa.int64()), ("gamma", pa.float64()), ("t0", pa.float64()), ("delta", pa.float64())]
)


COMPARED = 64
"""Number of zeros at the end of a foreign table that are compared with computed ones."""


@dataclasses.dataclass
class Completeness:
    """Evidence of completeness from the blocks of a table; ``record`` goes into the footer."""

    blocks: int = 0
    known_counts: int = 0
    hidden_pairs: int = 0
    largest_mean_s: float = 0.0
    largest_share_of_bound: float = 0.0
    last: Block | None = dataclasses.field(default=None, repr=False)

    def add(self, block: Block) -> None:
        contiguous(self.last, block)
        self.last = block
        self.blocks += 1
        self.known_counts += math.isinf(block.bound)
        self.hidden_pairs += block.pairs
        self.largest_mean_s = max(self.largest_mean_s, abs(block.mean_s))
        self.largest_share_of_bound = max(self.largest_share_of_bound, abs(block.mean_s) / block.bound)

    def record(self) -> dict[str, object]:
        shown = []
        if self.known_counts:
            shown.append(f"{ZEROS_BELOW_LOWEST} zeros in the block below t = 1000, as is known")
        if self.blocks > self.known_counts:
            shown.append("mean of S(t) within Turing's bound in each block")
        if self.blocks > 1:
            shown.append("indices contiguous between blocks")
        return {
            "complete": True,
            "method": ", ".join(shown),
            "blocks": self.blocks,
            "hidden_pairs": self.hidden_pairs,
            "largest_mean_s": self.largest_mean_s,
            "largest_share_of_bound": self.largest_share_of_bound,
        }


def compute(request: ZeroRange) -> Zeros:
    """The requested zeros, computed in memory and in this process."""
    completeness, pieces, taken = Completeness(), [], 0
    for stretch in stretches(request):
        block = find(stretch)
        completeness.add(block)
        piece = part_of(request, Zeros.of(block), taken)
        taken += len(piece)
        pieces.append(piece)
    return Zeros.join(pieces)


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ZerosRequest:
    """A table of zeros to compute, or to convert from Platt's files."""

    out: Path = Field(description="Parquet file to write")
    zeros: ZeroSource = Field(description="which zeros, and the files that hold them")
    workers: int = Field(1, ge=1, description="processes")
    quiet: bool = Field(False, description="print no progress")


def make_zeros(request: ZerosRequest) -> dict[str, object]:
    """Write the requested table; returns its completeness record.

    Raises:
        InputError: the request or a file is faulty, or zeros are missing from the file.
        Diverged: zeros are missing and can't be found.
    """
    zeros = request.zeros
    files = {"platt": Path(zeros.platt).name} if zeros.platt else {}
    provenance = Provenance("zeros", {**plain(zeros), **files})
    if zeros.platt is None:
        return write_zeros(request.out, zeros, provenance, request.workers, request.quiet)
    try:
        return write_converted(
            request.out, read_platt_range(zeros.platt, zeros.index, zeros.count), provenance
        )
    except InputError as error:
        if error.where != "zeros":
            raise
        raise InputError(zeros.platt, error.fault, "download the file again") from None


def write_zeros(
    target: str | os.PathLike[str],
    request: ZeroRange,
    provenance: Provenance,
    workers: int = 1,
    quiet: bool = True,
) -> dict[str, object]:
    """Compute zeros and write them as Parquet, in ``workers`` processes; 1 computes in this process.

    Pieces of about 65,000 zeros are kept in ``<target>.parts`` until the table is complete, and a second
    call continues from them. At most a few pieces are in memory at once.

    Returns:
        The completeness record, with ``first_index``, ``last_index`` and ``count``.

    Raises:
        InputError: no zeros lie between the requested heights.
        Diverged: zeros are missing and can't be found.
    """
    parts = Path(f"{os.fspath(target)}.parts")
    open_parts(parts, request.start)
    completeness, taken, first = Completeness(), 0, None
    total = request.count or max(1, round(smooth_count(request.top) - smooth_count(max(request.start, 10.0))))
    progress = Progress(total, "zeros")
    with atomic_path(target) as path, _writer(path) as writer:
        for blocks in computed(parts, stretches(request), workers):
            for block in blocks:
                completeness.add(block)
            rows = part_of(request, Zeros.join([Zeros.of(block) for block in blocks]), taken)
            if len(rows):
                first = int(rows.n[0]) if first is None else first
                taken += len(rows)
                writer.write_table(_arrow(rows))
            if not quiet:
                progress.update(min(taken, total))
        if first is None:
            shutil.rmtree(parts, ignore_errors=True)
            fault = f"none lie between {request.height} and {request.to}"
            raise InputError("zeros", fault, "widen the stretch")
        record = {
            **completeness.record(),
            "first_index": first,
            "last_index": first + taken - 1,
            "count": taken,
        }
        _finish(writer, record, provenance)
    shutil.rmtree(parts, ignore_errors=True)
    return record


def write_converted(
    target: str | os.PathLike[str], pieces: Iterable[Zeros], provenance: Provenance
) -> dict[str, object]:
    """Write foreign zeros as a table, checked by :class:`~specseq.zeros.verification.Verifier`.

    The last :data:`COMPARED` zeros, which the verifier cannot check, are compared with computed ones. Above
    the heights where zeros can be computed, the record states that these are not shown to be complete.

    Raises:
        InputError: zeros are missing, or pieces are not contiguous.
    """
    verifier, first, last = Verifier(), 0, None
    with atomic_path(target) as path, _writer(path) as writer:
        for zeros in pieces:
            verifier.add(zeros)
            if len(zeros):
                first = first or int(zeros.n[0])
                last = zeros[-COMPARED:] if last is None else Zeros.join([last, zeros])[-COMPARED:]
            writer.write_table(_arrow(zeros))
        verifier.finish()
        assert last is not None
        method = "mean of S(t) within Turing's bound in windows of zeros, indices contiguous"
        complete = float(last.gamma[-1]) < HIGHEST - 100
        if complete:
            compare_computed(last)
            method += f", the last {len(last)} zeros computed"
        final = int(last.n[-1])
        record: dict[str, object] = {
            "complete": complete,
            "complete_to": final if complete else max(first, final - COMPARED),
            "method": method,
            "largest_mean_s": verifier.largest_mean_s,
            "largest_share_of_bound": verifier.largest_share_of_bound,
            "first_index": first,
            "last_index": final,
            "count": final - first + 1,
        }
        _finish(writer, record, provenance)
    return record


def compare_computed(zeros: Zeros) -> None:
    """Compare a stretch of zeros with computed ones of the same indices.

    Raises:
        InputError: a zero lies elsewhere.
    """
    due = compute(ZeroRange(index=int(zeros.n[0]), count=len(zeros)))
    apart = np.abs((zeros.t0 - due.t0) + (zeros.delta - due.delta))
    if (apart > TOLERANCE).any():
        at = int(np.argmax(apart > TOLERANCE))
        fault = f"index {zeros.n[at]} lies at {zeros.gamma[at]:.6f}, expected at {due.gamma[at]:.6f}"
        raise InputError("zeros", fault, "a zero is missing or displaced: check the source")


def _writer(path: Path) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path, SCHEMA, compression="zstd", compression_level=1, use_dictionary=["t0"], store_schema=False
    )


def _arrow(zeros: Zeros) -> pa.Table:
    return pa.table([zeros.n, zeros.gamma, zeros.t0, zeros.delta], schema=SCHEMA)


def _finish(writer: pq.ParquetWriter, record: dict[str, object], provenance: Provenance) -> None:
    provenance.facts["zeros"] = record
    writer.add_key_value_metadata({"specseq": json.dumps(provenance.record(), default=str)})


def _opened(source: str | os.PathLike[str]) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(os.fspath(source))
    except FileNotFoundError:
        raise InputError(source, "no such table of zeros", "make it with: specseq zeros --out FILE") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(source, f"not a readable Parquet file ({error})", "delete and remake it") from None


def count_zeros(source: str | os.PathLike[str]) -> int:
    """The number of zeros in a table.

    Raises:
        InputError: the file can't be read.
    """
    with _opened(source) as file:
        return int(file.metadata.num_rows)


def read_zeros(source: str | os.PathLike[str], batch: int = 1 << 20) -> Iterator[Zeros]:
    """Read a table of zeros in batches, checked on the way; the last few thousand are checked at the end.

    Raises:
        InputError: the file can't be read or zeros are missing.
    """
    names = ["n", "t0", "delta"]
    verifier = Verifier()
    with _opened(source) as file:
        for name in names:
            place = file.schema_arrow.get_field_index(name)
            kind = file.schema_arrow.field(place).type if place >= 0 else "missing"
            if kind != SCHEMA.field(name).type:
                due = f"a table of zeros has n, t0, delta, {name} as {SCHEMA.field(name).type}"
                raise InputError(source, f"column {name} is {kind}", due)
        try:
            for rows in file.iter_batches(batch, columns=names):
                if any(column.null_count for column in rows.columns):
                    raise InputError(source, "holds missing values", "recompute the table")
                zeros = Zeros(*(rows.column(name).to_numpy() for name in names))
                verifier.add(zeros)
                yield zeros
            verifier.finish()
        except InputError as error:
            raise InputError(source, error.fault, error.remedy) from None
        except (pa.ArrowException, OSError) as error:
            raise InputError(source, f"is damaged ({error})", "delete and remake it") from None
