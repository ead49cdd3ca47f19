"""Stage ``text``: a text corpus as tokens, with a manifest."""

from pathlib import Path

from specseq.equilibrium.text.config import TextSettings
from specseq.equilibrium.text.store import prepare_text
from specseq.settings import STRICT, Field, dataclass
from specseq.stages.request import serve


@dataclass(frozen=True, config=STRICT, kw_only=True)
class TextRequest:
    """A text corpus to prepare."""

    manifest: Path = Field(description="manifest.json to write; tokens.npy goes beside it")
    text: TextSettings = TextSettings()


def main(request: TextRequest) -> None:
    """Prepare the corpus and print its size."""
    folder = request.manifest.parent
    manifest = prepare_text(folder, request.text)
    print(
        f"{folder}: {manifest['tokens']} tokens of {manifest['tokeniser']['vocabulary']} symbols, "
        f"sha256 {manifest['tokens_sha256'][:16]}"
    )


if __name__ == "__main__":
    serve(TextRequest, main, __doc__)
