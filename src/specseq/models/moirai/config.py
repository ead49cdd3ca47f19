"""What a MOIRAI is made of, and how that reads in a configuration."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from specseq.errors import InputError
from specseq.models.layers import swiglu_width
from specseq.models.stu.layer import Mode

Pattern = Literal["attention", "alternating", "first_half", "last_half", "stu_only", "parallel"]
Kind = Literal["attention", "stu", "parallel"]
Runs = Literal["sample", "variate"]
KINDS = ("moirai",)


@dataclass(frozen=True)
class StuConfig:
    """Which layers mix by spectral transform units, and which units.

    Attributes:
        pattern: ``attention`` (none), ``alternating`` (layers 0, 2, 4 ...), ``first_half``, ``last_half``,
            ``stu_only``, or ``parallel`` (both in every layer, weighed by a learned gate).
        mode: how filters are combined, see :class:`~specseq.models.stu.layer.SpectralTransformUnit`.
        filters: number of spectral filters, K.
        inner: channels between an input and an output projection around the convolution ("sandwich"; 768 at
            width 384 gives about attention's parameters); None for the plain unit.
        d_ff: feed-forward width of the layers without attention. ``matched`` makes up for the parameters that
            the unit saves; a number sets it; None takes the model's.
        runs: what the convolution may not cross: the runs of a ``sample`` (as published; variates then follow
            each other in one sequence) or of a ``variate``.
        published: the published circular transform. Not causal; for reproduction only.
    """

    pattern: Pattern = "attention"
    mode: Mode = "signed"
    filters: int = 24
    inner: int | None = None
    d_ff: int | Literal["matched"] | None = None
    runs: Runs = "sample"
    published: bool = False

    def kind(self, layer: int, layers: int) -> Kind:
        """What mixes the tokens in ``layer`` of ``layers``, counted from 0."""
        if self.pattern == "parallel":
            return "parallel"
        spectral = {
            "attention": False,
            "alternating": layer % 2 == 0,
            "first_half": layer < layers // 2,
            "last_half": layer >= layers - layers // 2,
            "stu_only": True,
        }
        return "stu" if spectral[self.pattern] else "attention"


@dataclass(frozen=True)
class MoiraiConfig:
    """Sizes of the model; the defaults are the published small one.

    Attributes:
        d_model: model width, D.
        layers: number of encoder layers.
        heads: attention heads; None takes one for every 64 dimensions (at least one).
        d_ff: feed-forward width; None takes two thirds of four times D, rounded up to a multiple of 8.
        patch_sizes: admissible patch sizes, increasing.
        max_length: longest segment in tokens.
        parity: keep the published heads' layout, in which for patch sizes up to 32 only the Student-T's
            mixture logit depends on the input. Needed to load upstream weights.
        stu: spectral layers.
    """

    d_model: int = 384
    layers: int = 6
    heads: int | None = None
    d_ff: int | None = None
    patch_sizes: tuple[int, ...] = (8, 16, 32, 64, 128)
    max_length: int = 512
    parity: bool = False
    stu: StuConfig = field(default_factory=StuConfig)

    @property
    def head_count(self) -> int:
        """Attention heads."""
        return self.heads or max(self.d_model // 64, 1)

    @property
    def feed_forward(self) -> int:
        """Feed-forward width of layers with attention."""
        return self.d_ff or swiglu_width(self.d_model)

    @property
    def mixing_parameters(self) -> dict[Kind, int]:
        """Parameters of one layer's mixer, by its kind."""
        d, heads, stu = self.d_model, self.head_count, self.stu
        attention = 4 * d * d + 2 * (d // heads) + 2 * heads
        inner = stu.inner or d
        if stu.mode == "full":
            unit = 2 * stu.filters * d * d
        else:
            unit = d * inner + stu.filters * inner * (1 if stu.mode == "shared" else 2)
            unit += inner * d if stu.inner else 0
        return {"attention": attention, "stu": unit, "parallel": attention + unit + d}

    def feed_forward_of(self, layer: int) -> int:
        """Feed-forward width of ``layer``."""
        if self.stu.kind(layer, self.layers) == "attention" or self.stu.d_ff is None:
            return self.feed_forward
        if self.stu.d_ff == "matched":
            kind, counts = self.stu.kind(layer, self.layers), self.mixing_parameters
            return self.feed_forward + round((counts["attention"] - counts[kind]) / (3 * self.d_model))
        return self.stu.d_ff

    @classmethod
    def from_params(cls, model: Mapping[str, Any]) -> "MoiraiConfig":
        """Read ``params["model"]``; ``kind`` is ``moirai``, ``stu`` a nested mapping.

        Raises:
            InputError: an unknown key, or a value that makes no model.
        """
        given = {key: value for key, value in model.items() if key != "kind"}
        if model.get("kind", "moirai") not in KINDS:
            raise InputError("model.kind", f"{model['kind']!r} is not a MOIRAI", "use moirai")
        stu = given.pop("stu", None) or {}
        _known(cls, given, "model")
        _known(StuConfig, stu, "model.stu")
        if "patch_sizes" in given:
            given["patch_sizes"] = tuple(given["patch_sizes"])
        config = cls(**given, stu=StuConfig(**stu))
        config._check()
        return config

    def to_params(self) -> dict[str, Any]:
        """The inverse of :meth:`from_params`, for a checkpoint."""
        return {"kind": "moirai", **asdict(self), "patch_sizes": list(self.patch_sizes)}

    def _check(self) -> None:
        _choice("model.stu.pattern", self.stu.pattern, get_args(Pattern))
        _choice("model.stu.mode", self.stu.mode, get_args(Mode))
        _choice("model.stu.runs", self.stu.runs, get_args(Runs))
        for name in ("d_model", "layers", "heads", "d_ff", "max_length"):
            _positive(f"model.{name}", getattr(self, name))
        for name in ("filters", "inner", "d_ff"):
            if not (name == "d_ff" and self.stu.d_ff == "matched"):
                _positive(f"model.stu.{name}", getattr(self.stu, name))
        if self.d_model % self.head_count:
            raise InputError(
                "model.d_model", f"{self.d_model} is not a multiple of {self.head_count} heads", "change one"
            )
        if (self.d_model // self.head_count) % 4:
            raise InputError(
                "model.heads",
                "half a head must hold whole rotated pairs",
                "make the head width a multiple of 4",
            )
        sizes = self.patch_sizes
        if not sizes or any(type(p) is not int or p < 1 for p in sizes) or list(sizes) != sorted(set(sizes)):
            raise InputError("model.patch_sizes", f"{list(sizes)}", "list positive sizes, increasing")
        if self.stu.filters > self.max_length:
            raise InputError(
                "model.stu.filters", f"{self.stu.filters} exceeds max_length", "take fewer filters"
            )
        if any(self.feed_forward_of(layer) < 1 for layer in range(self.layers)):
            raise InputError(
                "model.stu.d_ff", "nothing is left of the feed-forward layers", "use another mode"
            )


def _known(owner: Any, given: Mapping[str, Any], where: str) -> None:
    names = {f.name for f in fields(owner)}
    for key in given:
        if key not in names:
            raise InputError(f"{where}.{key}", "is no setting", f"choose from {', '.join(sorted(names))}")


def _choice(where: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(where, f"{value!r} is no choice", f"use one of {', '.join(choices)}")


def _positive(where: str, value: object) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise InputError(where, f"{value!r}", "give a positive whole number")
