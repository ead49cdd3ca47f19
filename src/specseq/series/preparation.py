"""Preparation of data sets: the training corpus as a store, the evaluation sets with a manifest."""

from pathlib import Path
from typing import Any

from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_corpus, write_evaluation
from specseq.series.evaluation import evaluation_manifest
from specseq.series.hub import RECORD
from specseq.series.prepare import prepare_store
from specseq.settings import STRICT, Field, dataclass

EMBEDDED = "embedded"


@dataclass(frozen=True, config=STRICT, kw_only=True)
class EvaluationSetsRequest:
    """The evaluation sets of GIFT-Eval, or the embedded ones."""

    manifest: Path = Field(
        description="manifest.json to write; embedded sets go into the folder sets next to it"
    )
    source: str = Field(
        EMBEDDED,
        description="embedded, or a folder in GIFT-Eval's layout or its download.json; it is not changed",
    )
    seed: int = Field(0, ge=0, description="of the embedded data")
    embedded: EmbeddedSizes = Field(EmbeddedSizes(), description="sizes of the embedded data")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class CorpusRequest:
    """The training corpus as a memory-mapped store."""

    manifest: Path = Field(description="manifest.json of the store; the store is its folder")
    source: str = Field(
        EMBEDDED,
        description="embedded, or a folder of save_to_disk folders, as in LOTSA, or its download.json",
    )
    seed: int = Field(0, ge=0, description="of the embedded data")
    embedded: EmbeddedSizes = Field(EmbeddedSizes(), description="sizes of the embedded data")
    min_length: int = Field(16, ge=1, description="series with fewer time steps are skipped and counted")
    exclude: tuple[str, ...] = Field(
        (), description="sub-datasets left out, by name or pattern; overlap: those also in GIFT-Eval"
    )


def _folder(source: str) -> Path:
    """The folder of a source, given as itself or as the record of its download."""
    path = Path(source)
    return path.parent if path.name == RECORD else path


def prepare_evaluation_sets(request: EvaluationSetsRequest) -> dict[str, Any]:
    """Write the manifest of the evaluation sets, and embedded sets themselves; returns the manifest.

    Raises:
        InputError: no set, an unfinished download, or a damaged file.
    """
    source = _folder(request.source)
    if request.source == EMBEDDED:
        source = request.manifest.parent / "sets"
        write_evaluation(source, embedded_sets(request.seed, request.embedded))
    manifest = evaluation_manifest(source, request.manifest)
    print(f"{len(manifest['datasets'])} evaluation sets")
    return manifest


def prepare_corpus(request: CorpusRequest) -> dict[str, Any]:
    """Write the store of a training corpus, and an embedded corpus itself; returns the manifest.

    Raises:
        InputError: no corpus, a damaged file, an exclusion that matches nothing, or a full disk.
    """
    source, folder = _folder(request.source), request.manifest.parent
    if request.source == EMBEDDED:
        source = folder / "corpus"
        # The corpus is about to change under a store that may have been finished earlier.
        request.manifest.unlink(missing_ok=True)
        write_corpus(source, embedded_sets(request.seed, request.embedded))
    manifest = prepare_store(source, folder, min_length=request.min_length, exclude=request.exclude)
    print(
        f"{manifest['series']} series of {len(manifest['datasets'])} sub-datasets, "
        f"{manifest['steps']} steps; {manifest['skipped']} series skipped"
    )
    for name, record in manifest["datasets"].items():
        if unused := record.get("unused_columns"):
            print(f"{name}: {', '.join(unused)} not used")
    return manifest
