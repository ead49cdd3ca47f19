"""Settings of the text that equilibrium runs train on."""

from typing import Annotated, Literal

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass


@dataclass(frozen=True, config=STRICT)
class Docstrings:
    """Documentation strings and help topics of the running Python."""

    shortest: int = Field(default=60, ge=0, description="length in characters that a docstring must exceed")
    kind: Literal["docstrings"] = "docstrings"


@dataclass(frozen=True, config=STRICT)
class Grammar:
    """A synthetic language of known entropy."""

    seed: int = Field(default=0, ge=0, description="decides the automaton and the text")
    characters: int = Field(default=1_000_000, ge=1000, description="length of the text")
    states: int = Field(default=32, ge=1, description="states of the automaton; more need a longer context")
    symbols: int = Field(default=27, ge=2, le=53, description="alphabet")
    concentration: float = Field(
        default=0.15,
        gt=0,
        description="concentration of the Dirichlet law of each state's emissions; small means predictable",
    )
    kind: Literal["grammar"] = "grammar"


@dataclass(frozen=True, config=STRICT, kw_only=True)
class LocalText:
    """A text file, or a folder of ``.txt`` files, in UTF-8."""

    path: str = Field(min_length=1, description="file or folder")
    kind: Literal["path"] = "path"


@dataclass(frozen=True, config=STRICT, kw_only=True)
class TokenFiles:
    """Tokens made by another program, and their tokeniser; see :mod:`specseq.equilibrium.text.tokens`."""

    path: str = Field(
        min_length=1,
        description="folder with train.bin or train.npy, perhaps val.bin or val.npy, and tokenizer.json or "
        "meta.json",
    )
    kind: Literal["tokens"] = "tokens"


@dataclass(frozen=True, config=STRICT)
class HubText:
    """The files named in the section ``downloads.text``."""

    kind: Literal["hub"] = "hub"


Source = Annotated[Docstrings | Grammar | LocalText | TokenFiles, Field(discriminator="kind")]
DeclaredSource = Annotated[
    Docstrings | Grammar | LocalText | TokenFiles | HubText, Field(discriminator="kind")
]


@dataclass(frozen=True, config=STRICT)
class Characters:
    """Each character is a symbol."""

    kind: Literal["characters"] = "characters"


@dataclass(frozen=True, config=STRICT, kw_only=True)
class BytePairs:
    """Byte-pair encoding, trained on the text."""

    size: int = Field(gt=256, le=65536, description="vocabulary size, of which single bytes take 256")
    kind: Literal["bpe"] = "bpe"


Tokeniser = Annotated[Characters | BytePairs, Field(discriminator="kind")]


@dataclass(frozen=True, config=STRICT)
class DeclaredText:
    """A text as given in the config; one from the hub is downloaded before it is read."""

    tokeniser: Tokeniser = Characters()
    valid_share: float = Field(
        default=0.1, gt=0, lt=1, description="share held out, from the end of the text"
    )
    source: DeclaredSource = Docstrings()

    def __post_init__(self) -> None:
        if isinstance(self.source, TokenFiles) and self.tokeniser != Characters():
            raise InputError("tokeniser", "token files bring their own", "give `tokeniser: null`")


@dataclass(frozen=True, config=STRICT)
class TextSettings(DeclaredText):
    """A text, how it becomes tokens, and how it is split."""

    source: Source = Docstrings()
