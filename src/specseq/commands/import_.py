"""``specseq import``: checkpoints of other programs as weights that every command and run takes."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from specseq.errors import InputError
from specseq.training.foreign import Imported, save_import

_KINDS = """\
kinds, and what SOURCE may be:
  moirai       MOIRAI 1.0-R and 1.1-R of any size, and the hybrid with spectral units: a folder or hub id of
               Hugging Face, or a Lightning checkpoint (.ckpt) of uni2ts
  moirai2      Moirai 2.0-R, and the preconditioned model of the study: the same
  equilibrium  the equilibrium study's block (.pt), with or without affine norms
  spacings     the zeta study's best.pt: SpacingMDN, MemoryMDN or Flash

No code in a file is run: of objects other than tensors, only the stored values are read. Sizes are read off
the weights and checked against the settings stored with them.

examples:
  specseq import moirai2 Salesforce/moirai-2.0-R-small --out moirai2-small
  specseq import moirai last.ckpt --out hybrid
  specseq import equilibrium s3200.pt --heads 16 --out s3200; specseq audit s3200
  specseq import spacings best.pt --out flash
  specseq score gift_eval --forecaster moirai2-small --data data/gift_eval --out moirai2-small.parquet
"""


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="specseq import",
        description="Convert a checkpoint that another program wrote into a folder of weights, which score, "
        "audit and runs accept.",
        epilog=_KINDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "kind", choices=("moirai", "moirai2", "equilibrium", "spacings"), help="what the checkpoint holds"
    )
    parser.add_argument("source", metavar="SOURCE", help="file, folder or hub id")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the weights go")
    parser.add_argument(
        "--taps",
        metavar="C1,C2,...",
        help="moirai2: taps of the filter it was trained with, if the file does not hold them",
    )
    parser.add_argument(
        "--heads", type=int, metavar="H", help="equilibrium: attention heads, if the file does not say"
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="PART=NAME",
        help="equilibrium: the file's name for a part of the block, such as token=wte.weight",
    )
    parser.add_argument(
        "--series",
        choices=("spacings", "residuals"),
        help="spacings: what the model works on (default: residuals s - 1 with rotary positions, else "
        "spacings)",
    )
    return parser


def main(arguments: Sequence[str]) -> None:
    """Import, write and say what was found."""
    options = build_parser().parse_args(arguments)
    _check_folder(options.out)
    imported = _read(options)
    path = save_import(options.out, imported, options.source)
    count = sum(tensor.numel() for tensor in imported.tensors.values())
    print(f"{options.kind} of {options.source}: {len(imported.tensors)} tensors, {count:,} numbers")
    for note in imported.notes:
        print(f"note: {note}")
    print(f"written: {path}")


def _read(options: argparse.Namespace) -> Imported:
    given = {
        "--taps": options.taps,
        "--heads": options.heads,
        "--name": options.name,
        "--series": options.series,
    }
    takes = {"moirai2": ("--taps",), "equilibrium": ("--heads", "--name"), "spacings": ("--series",)}
    for name, value in given.items():
        if value and name not in takes.get(options.kind, ()):
            raise InputError(name, f"does not go with {options.kind}", "leave it out")
    if options.kind == "equilibrium":
        from specseq.equilibrium.imports import import_block

        return import_block(Path(options.source), options.heads, dict(map(_name, options.name)))
    if options.kind == "spacings":
        from specseq.spacings.imports import import_spacings

        return import_spacings(Path(options.source), options.series)
    from specseq.models.imports import import_forecaster

    return import_forecaster(options.source, options.kind, _taps(options.taps))


def _name(text: str) -> tuple[str, str]:
    part, found, name = text.partition("=")
    if not found:
        raise InputError("--name", f"{text!r} is not PART=NAME", "for example token=wte.weight")
    return part, name


def _taps(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise InputError("--taps", f"{text!r} is not a list of numbers", "for example 0,-0.5") from None


def _check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written, before the checkpoint is read."""
    if folder.exists() and not folder.is_dir():
        raise InputError("--out", f"{folder} is a file", "give a folder")
    if (folder / "weights.safetensors").exists():
        raise InputError("--out", f"{folder} holds weights already", "give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise InputError("--out", f"{folder} cannot be written to", "give another folder")
