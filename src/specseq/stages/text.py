"""Prepare a text corpus: ``tokens.npy`` and ``manifest.json`` with checksums in the folder given.

Parameters: ``{"source": {"kind": "docstrings" | "grammar" | "path" | "hub", ...}, "tokeniser": {"kind":
"characters" | "bpe", ...}, "valid_share": 0.1}``.
"""

from pathlib import Path

from specseq.equilibrium.text.config import TextSettings
from specseq.equilibrium.text.store import prepare_text
from specseq.settings import read
from specseq.stages import arguments


def main() -> None:
    """Parse, read, tokenise, write."""
    parser = arguments.parser(__doc__ or "")
    parser.add_argument("--out", required=True, type=Path, help="folder for tokens.npy and manifest.json")
    options = parser.parse_args()
    manifest = prepare_text(options.out, read(TextSettings, options.params, "text"))
    print(
        f"{options.out}: {manifest['tokens']} tokens of {manifest['tokeniser']['vocabulary']} symbols, "
        f"text sha256 {manifest['text_sha256'][:16]}"
    )


if __name__ == "__main__":
    arguments.run(main)
