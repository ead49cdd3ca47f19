"""What a Moirai2 is made of and how it is preconditioned, as a configuration says it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, get_args

from specseq.errors import InputError
from specseq.filters import Filter, design
from specseq.filters.operators import Missing
from specseq.models.layers import swiglu_width

HINT_CONTROLS = ("none", "zero", "duplicate", "noise")


@dataclass(frozen=True)
class Moirai2Config:
    """Sizes of the model; the defaults are the published small one.

    Attributes:
        d_model: model width, D.
        layers: decoder layers.
        heads: attention heads; 0 takes one for every 64 dimensions.
        d_ff: feed-forward width; 0 takes two thirds of four times D, rounded up to a multiple of 8.
        patch: points a token, P.
        tokens: longest sequence in training, in tokens.
        predicted: future tokens that each token predicts, F.
        quantile_levels: Q levels, increasing, 0.5 among them.
        masked: share of patches whose values are hidden from the input in training.
    """

    d_model: int = 384
    layers: int = 6
    heads: int = 0
    d_ff: int = 0
    patch: int = 16
    tokens: int = 512
    predicted: int = 4
    quantile_levels: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    masked: float = 0.5

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Moirai2Config":
        """Read ``params["model"]``.

        Raises:
            InputError: an unknown key, or a value that makes no model.
        """
        given = {name: value for name, value in params.get("model", {}).items() if name != "kind"}
        _known(cls, given, "model")
        if "quantile_levels" in given:
            given["quantile_levels"] = tuple(given["quantile_levels"])
        config = cls(**given)
        for name in ("d_model", "layers", "patch", "tokens", "predicted"):
            _at_least(f"model.{name}", getattr(config, name), 1)
        for name in ("heads", "d_ff"):
            _at_least(f"model.{name}", getattr(config, name), 0)
        _share("model.masked", config.masked)
        levels = config.quantile_levels
        if not all(0 < a < b < 1 for a, b in pairwise(levels)) or 0.5 not in levels:
            raise InputError("model.quantile_levels", f"{list(levels)}", "increasing, in (0, 1), with 0.5")
        if config.d_model % config.head_count or config.head_width % 4:
            raise InputError(
                "model.heads",
                f"{config.head_count} for width {config.d_model}",
                "head widths are multiples of 4",
            )
        return config

    @property
    def head_count(self) -> int:
        """Attention heads."""
        return self.heads or max(1, self.d_model // 64)

    @property
    def head_width(self) -> int:
        """Dimensions of a head."""
        return self.d_model // self.head_count

    @property
    def feed_forward(self) -> int:
        """Feed-forward width."""
        return self.d_ff or swiglu_width(self.d_model)

    @property
    def median(self) -> int:
        """Index of level 0.5."""
        return self.quantile_levels.index(0.5)


@dataclass(frozen=True)
class FirConfig:
    """The finite inverse: r̂_t = Σ_j g_j z_{t - j·stride}, trained to match r = z - y.

    Attributes:
        weight: of its mean squared error in the loss.
        length: taps.
        stride: time steps between taps.
    """

    weight: float = 0.1
    length: int = 64
    stride: int = 1


@dataclass(frozen=True)
class ReversalLoss:
    """Weights of the quantile losses before and after the recursive reversal of the median.

    Attributes:
        filtered: of the loss on the filtered series.
        reversed: of the loss on the raw series, with gradients through the recursion.
    """

    filtered: float = 0.0
    reversed: float = 1.0


@dataclass(frozen=True)
class HintConfig:
    """What a filter adds, given to the model beside the raw series, which stays the target.

    Attributes:
        filters: one hint each; more than one are several scales.
        dropout: share of patches whose hints are hidden in training.
        control: what stands in the hints' place: ``none`` (the hints), ``zero``, ``duplicate`` (the series
            itself) or ``noise`` (of the size of the context's hints, no use to anyone).
    """

    filters: tuple[Filter, ...]
    dropout: float = 0.0
    control: str = "none"


@dataclass(frozen=True)
class PreconditioningConfig:
    """How the series are filtered in training; without a filter, the baseline.

    Attributes:
        filter: the filter, or the start of a learnable one; None for the baseline and for hints.
        learnable: the taps are parameters (without weight decay).
        l2: weight of Σ c_i² in the loss of a learnable filter.
        missing: what a missing tap means, see :mod:`specseq.filters.operators`.
        fir: regulariser by a finite inverse (weight 0.5 is the published "dual loss").
        reversal_loss: quantile loss after reversal; exclusive with ``fir``.
        dual_head: a second head for the raw series, whose forecasts are used; both losses are summed.
        hint: the filter's contribution as a further input instead of filtering.
    """

    filter: Filter | None = None
    learnable: bool = False
    l2: float = 0.0
    missing: Missing = "skip"
    fir: FirConfig | None = None
    reversal_loss: ReversalLoss | None = None
    dual_head: bool = False
    hint: HintConfig | None = None

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "PreconditioningConfig":
        """Read ``params["filter"]`` and ``params["preconditioning"]``.

        Raises:
            InputError: an unknown key, an impossible value, or modes that exclude each other.
        """
        where = "preconditioning"
        given = dict(params.get(where, {}))
        _known(cls, given, where, but=("filter",))
        filter = design(params["filter"]) if params.get("filter") else None
        for name in ("learnable", "dual_head"):
            if not isinstance(given.get(name, False), bool):
                raise InputError(f"{where}.{name}", f"{given[name]!r} is not true or false")
        if given.get("missing", "skip") not in get_args(Missing):
            raise InputError(f"{where}.missing", f"{given['missing']!r}", f"one of {get_args(Missing)}")
        _at_least(f"{where}.l2", given.get("l2", 0), 0, whole=False)
        if given.get("fir") is not None:
            given["fir"] = _fir(given["fir"])
        if given.get("reversal_loss") is not None:
            given["reversal_loss"] = _reversal_loss(given["reversal_loss"])
        if given.get("hint") is not None:
            given["hint"] = _hint(given["hint"], filter)
            filter = None
        config = cls(filter, **given)
        config._check()
        return config

    def _check(self) -> None:
        where = "preconditioning"
        filtering = [
            name for name in ("learnable", "fir", "reversal_loss", "dual_head") if getattr(self, name)
        ]
        if filtering and self.filter is None:
            need = "hints leave the series unfiltered" if self.hint else "there is no filter"
            raise InputError(f"{where}.{filtering[0]}", need, "give a filter and no hint, or leave this out")
        for one, other in (("fir", "reversal_loss"), ("dual_head", "reversal_loss")):
            if getattr(self, one) and getattr(self, other):
                raise InputError(f"{where}.{one}", f"excludes {other}", "choose one")
        if self.l2 and not self.learnable:
            raise InputError(f"{where}.l2", "weighs taps that are not learned", "set learnable")


BASELINE = PreconditioningConfig()


def _fir(given: Mapping[str, Any]) -> FirConfig:
    where = "preconditioning.fir"
    _known(FirConfig, given, where)
    config = FirConfig(**given)
    _at_least(f"{where}.weight", config.weight, 0, whole=False)
    _at_least(f"{where}.length", config.length, 1)
    _at_least(f"{where}.stride", config.stride, 1)
    return config


def _reversal_loss(given: Mapping[str, Any]) -> ReversalLoss:
    where = "preconditioning.reversal_loss"
    _known(ReversalLoss, given, where)
    config = ReversalLoss(**given)
    for name in ("filtered", "reversed"):
        _at_least(f"{where}.{name}", getattr(config, name), 0, whole=False)
    return config


def _hint(given: Mapping[str, Any], filter: Filter | None) -> HintConfig:
    where = "preconditioning.hint"
    _known(HintConfig, given, where)
    specs = given.get("filters", [])
    filters = tuple(design(spec, f"{where}.filters[{number}]") for number, spec in enumerate(specs))
    filters = filters or (() if filter is None else (filter,))
    if not filters:
        raise InputError(f"{where}.filters", "no filter to take hints from", "give filters, or a filter")
    config = HintConfig(filters, given.get("dropout", 0.0), given.get("control", "none"))
    _share(f"{where}.dropout", config.dropout)
    if config.control not in HINT_CONTROLS:
        raise InputError(f"{where}.control", f"{config.control!r}", f"one of {', '.join(HINT_CONTROLS)}")
    return config


def _known(owner: Any, given: Mapping[str, Any], where: str, but: tuple[str, ...] = ()) -> None:
    names = [f.name for f in fields(owner) if f.name not in but]
    for name in given:
        if name not in names:
            raise InputError(f"{where}.{name}", "no such setting", f"known: {', '.join(names)}")


def _at_least(where: str, value: Any, least: int, whole: bool = True) -> None:
    right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not right or not least <= value < float("inf"):
        raise InputError(where, f"{value!r}", f"a{' whole' if whole else ''} number from {least}")


def _share(where: str, value: Any) -> None:
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise InputError(where, f"{value!r}", "a share from 0 to below 1")
