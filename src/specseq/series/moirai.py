"""The ten training transforms of MOIRAI (Woo et al. 2024), drawn for many samples at once.

== ====================================================================================== ==================
1  n ~ U{1 .. min(V, 128)} variates in random order                                       here
2  a patch size, uniform among those that suit the frequency and fit twice into the series here
3  a window of U{2 .. min(512 // n, all)} patches at a random offset                       here
4  the variates as one array                                                              collate
5  which values were observed                                                             collate
6  0 where they were not                                                                  collate
7  patches in slots of 128 points                                                         collate
8  random distinct variate ids below 128; time ids                                        here; collate
9  the last max(1, round(n·r)) patches of all variates to predict, r ~ U[0.15, 0.5]       here
10 flattened variate by variate into at most 512 tokens                                   collate
== ====================================================================================== ==================

Past features, the column ``past_feat_dynamic_real``, are variates that are given and never predicted. If
targets and past features have W variates together, step 1 draws U{1 .. min(V, 128·V // W)} of the V variates
of each. In step 3, n counts both, and ids are distinct over both. In step 10 past features follow the targets
and lack the patches of the part to predict. Each series of a stack brings its own. The source is uni2ts
2.0.0: transforms ``SampleDimension``, ``PatchCrop``, ``AddVariateIndex``, ``MaskedPrediction``,
``ExtendMask``, ``FlatPackFields`` in the order of ``model/moirai/pretrain.py``, and
``MultiSampleTimeSeriesDataset`` in ``data/dataset.py``. Where uni2ts fails because 128·V // W is 0, a sample
here has one target, or no past feature.

Shapes: N series of the store, S samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.series.crops import Crops, integers
from specseq.series.frequency import parse_frequency
from specseq.series.sampling import UNWEIGHTED, SeriesSampler, series_sampler
from specseq.series.stacking import STACKED, Stacks
from specseq.series.store import Store

PATCH_SIZES = (8, 16, 32, 64, 128)
# Frequency unit -> smallest and largest patch size. Quarterly and yearly series take 8, the smallest.
PATCH_RANGE = {
    "S": (64, 128),
    "T": (32, 128),
    "H": (32, 64),
    "D": (16, 32),
    "B": (16, 32),
    "W": (16, 32),
    "M": (8, 32),
    "Q": (8, 8),
    "A": (8, 8),
}


@dataclass
class MoiraiCrops:
    """Draws multivariate windows with a patch size suited to their frequency and a part to predict.

    Series too short for two of the smallest patches of their frequency, or without a suitable patch size, are
    never drawn; ``eligible`` marks those that may be.

    Attributes:
        max_tokens: largest number of tokens in a sample.
        max_variates: largest number of variates in a sample, and the number of variate ids.
        min_patches: smallest number of patches in a variate.
        mask_ratio: bounds of the share of patches to predict.
        sampling, weights: see :mod:`specseq.series.sampling`.
        stacked: sub-datasets whose aligned series are stacked as variates, see
            :mod:`specseq.series.stacking`.
        past_features: also draw past features, if a series has any.
        patch_sizes: admissible patch sizes, increasing.
        patch_slot: P, the largest patch size.

    Raises:
        InputError: a row is too short for ``min_patches`` patches, or no series is left.
    """

    store: Store
    max_tokens: int = 512
    max_variates: int = 128
    min_patches: int = 2
    mask_ratio: tuple[float, float] = (0.15, 0.5)
    sampling: str = UNWEIGHTED
    weights: Mapping[str, float] | None = None
    stacked: Sequence[str] = STACKED
    past_features: bool = False
    patch_sizes: Sequence[int] = PATCH_SIZES
    patch_slot: int = field(init=False)

    def __post_init__(self) -> None:
        if self.min_patches > self.max_tokens:
            raise InputError(
                "data.min_patches",
                f"{self.min_patches} exceeds the {self.max_tokens} tokens of a row",
                "lower it, or raise model.max_length",
            )
        self.patch_slot = max(self.patch_sizes)
        units = [parse_frequency(alias).unit for alias in self.store.frequencies]
        ranges = np.array([PATCH_RANGE[unit] for unit in units])[self.store.frequency]
        sizes = np.array(self.patch_sizes)
        least, most = ranges[:, 0], np.minimum(ranges[:, 1], self.store.length // self.min_patches)
        # The sizes that suit a series are adjacent, so a first index and a count describe them.
        self._sizes: NDArray[np.int64] = sizes
        self._first: NDArray[np.int64] = np.searchsorted(sizes, least, side="left")
        self._choices: NDArray[np.int64] = np.searchsorted(sizes, most, side="right") - self._first
        self.eligible: NDArray[np.bool_] = self._choices > 0
        # A sample reserves room for two patches of every variate it may draw.
        self.max_variates = min(self.max_variates, self.max_tokens // self.min_patches)
        past = self.store.past if self.past_features else None
        self._past: NDArray[np.int64] = np.zeros(len(self.store), np.int64) if past is None else past.variates
        self._stacks = Stacks(self.store, self.stacked, self.eligible, self.max_variates, self._past)
        sizes_named = ", ".join(map(str, self.patch_sizes))
        needed = (
            f"{self.min_patches} patches of a size that suits its frequency are needed (of {sizes_named})"
        )
        self.sampler: SeriesSampler = series_sampler(
            self.store, self.sampling, self.weights, self.eligible, needed
        )

    def draw(self, generator: np.random.Generator, count: int) -> Crops:
        """``count`` samples."""
        store = self.store
        series = self.sampler.draw(generator, count)
        length = store.length[series]
        members = self._stacks.sizes(generator, series)
        targets, past = self._counts(
            generator, members * store.variates[series], members * self._past[series]
        )
        patch = self._sizes[self._first[series] + integers(generator, 0, self._choices[series] - 1)]
        offset = integers(generator, 0, length % patch)
        whole = (length - offset) // patch
        tokens = integers(generator, self.min_patches, np.minimum(self.max_tokens // (targets + past), whole))
        first = integers(generator, 0, whole - tokens)
        ratio = generator.uniform(*self.mask_ratio, size=count)
        predicted = np.maximum(1, np.rint(tokens * ratio)).astype(np.int64)
        # In a sample without context, past features would have no tokens.
        past[predicted == tokens] = 0
        source, variate, variate_id = self._variates(generator, series, members, targets, past)
        variates = targets + past
        first_variate = np.cumsum(variates) - variates
        is_past = np.arange(len(source)) >= np.repeat(first_variate + targets, variates)
        return Crops(
            series=series,
            start=offset + first * patch,
            patch=patch,
            tokens=tokens,
            predicted=predicted,
            in_loss=np.ones(count, np.bool_),
            first_variate=first_variate,
            variates=variates,
            source=source,
            variate=variate,
            variate_id=variate_id,
            past=is_past,
        )

    def _counts(
        self, generator: np.random.Generator, targets: NDArray[np.int64], past: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many of the given numbers of variates are drawn in each field."""
        total = targets + past
        most = np.maximum(self.max_variates * targets // total, 1)
        drawn_targets = integers(generator, 1, np.minimum(targets, most))
        most = np.minimum(past, self.max_variates * past // total)
        some, drawn_past = most > 0, np.zeros_like(past)
        drawn_past[some] = integers(generator, 1, most[some])
        return drawn_targets, drawn_past

    def _variates(
        self,
        generator: np.random.Generator,
        series: NDArray[np.int64],
        members: NDArray[np.int64],
        targets: NDArray[np.int64],
        past: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Source series and variate of each sample's variates, in random order, and their ids.

        Targets come first, then past features, which are numbered within their series.
        """
        variates = targets + past
        first = np.cumsum(variates) - variates
        source = np.repeat(series, variates)
        variate = np.zeros(len(source), np.int64)
        variate_id = np.zeros(len(source), np.int64)
        single = (variates == 1) & (members == 1)
        variate[first[single]] = integers(generator, 0, self.store.variates[series[single]] - 1)
        variate_id[first[single]] = generator.integers(0, self.max_variates, single.sum())
        for sample in np.flatnonzero(~single).tolist():
            n, m, a = targets[sample], past[sample], first[sample]
            one = series[sample]
            stack = self._stacks.members(generator, one, members[sample])
            for begin, count, width in ((a, n, self.store.variates[one]), (a + n, m, self._past[one])):
                if count:
                    chosen = generator.permutation(len(stack) * width)[:count]
                    fields = slice(begin, begin + count)
                    source[fields], variate[fields] = stack[chosen // width], chosen % width
            variate_id[a : a + n + m] = generator.permutation(self.max_variates)[: n + m]
        return source, variate, variate_id
