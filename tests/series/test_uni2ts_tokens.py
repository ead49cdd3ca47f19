"""Past features against uni2ts' own chain of training transforms: the same tokens, the same distributions."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from specseq.series.collate import collate
from specseq.series.crops import Crops
from specseq.series.moirai import MoiraiCrops
from specseq.series.store import Store
from tests.series.past_features import PAST, coded_store

PYTHON = Path(__file__).parents[2] / ".cache" / "referee" / "bin" / "python"
pytestmark = [
    pytest.mark.referee,
    pytest.mark.skipif(
        not PYTHON.exists(), reason="uni2ts is not installed; run 'python tests/referee/install.py' first"
    ),
]
# Case -> targets, past features and steps; those of the second share 128 variates.
CASES = {"few": (4, 6, 900), "crowded": (100, 60, 700)}
COLUMNS = ("targets", "past", "tokens", "predicted", "patch")
FIELDS = {"observed_mask": "observed"}
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Store]:
    return {case: coded_store(tmp_path_factory.mktemp(case), [shape]) for case, shape in CASES.items()}


@pytest.fixture(scope="module")
def theirs(stores: dict[str, Store], tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    folder, fields = tmp_path_factory.mktemp("tokens"), {}
    for case, store in stores.items():
        fields |= {f"{case}.target": store.series(0), f"{case}.past": store.past_features(0)}
    np.savez(folder / "in.npz", **fields)
    script = Path(__file__).with_name("uni2ts_tokens.py")
    command = [PYTHON, "-W", "ignore", script, folder / "in.npz", folder / "out.npz"]
    subprocess.run(command, check=True, timeout=300)
    return dict(np.load(folder / "out.npz"))


@pytest.fixture(scope="module")
def ours(stores: dict[str, Store]) -> Arrays:
    drawn = {}
    for case, store in stores.items():
        crops = MoiraiCrops(store, past_features=True).draw(np.random.default_rng(0), 3000)
        past = np.bincount(crops.crop, crops.past, len(crops))
        drawn[case] = np.stack(
            [crops.variates - past, past, crops.tokens, crops.predicted, crops.patch], axis=1
        )
    return drawn


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("column", COLUMNS)
def test_draws_have_the_same_distribution(theirs: Arrays, ours: Arrays, case: str, column: str) -> None:
    """Two-sample Kolmogorov-Smirnov on each quantity; with ten of them a level of 1e-4 rarely errs."""
    place = COLUMNS.index(column)
    a, b = theirs[f"{case}.counts"][:, place], ours[case][:, place]
    assert (a.min(), a.max()) == pytest.approx((b.min(), b.max()), rel=0.1)
    assert stats.ks_2samp(a, b, method="asymp").pvalue > 1e-4


@pytest.mark.parametrize("case", CASES)
def test_quantities_depend_on_each_other_alike(theirs: Arrays, ours: Arrays, case: str) -> None:
    """Rank correlations of all pairs agree within their sampling error (standard error about 0.018)."""
    found = [stats.spearmanr(draws).statistic for draws in (theirs[f"{case}.counts"], ours[case])]
    np.testing.assert_allclose(*found, atol=0.1)


def chosen(sample: Arrays) -> Crops:
    """What uni2ts chose for a sample, read off the coded values of its tokens."""
    ids, patch = sample["variate_id"], int(sample["patch_size"][0])
    begins = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    first = sample["target"][begins, 0].astype(np.int64)
    past = first >= int(PAST)
    one = np.array([1])
    tokens = int((ids == ids[0]).sum())
    return Crops(
        series=0 * one,
        start=first[:1] % 2**12,
        patch=patch * one,
        tokens=tokens * one,
        predicted=sample["prediction_mask"][:tokens].sum() * one,
        in_loss=one > 0,
        first_variate=0 * one,
        variates=len(begins) * one,
        source=np.zeros(len(begins), np.int64),
        variate=(first - int(PAST) * past) // 2**12,
        variate_id=ids[begins],
        past=past,
    )


@pytest.mark.parametrize("case", CASES)
def test_the_same_choice_gives_the_same_tokens(theirs: Arrays, stores: dict[str, Store], case: str) -> None:
    """Values, masks and ids of every token of every sample, in the same order."""
    fields = ("target", "observed_mask", "time_id", "variate_id", "prediction_mask", "patch_size")
    begin, shorter = 0, 0
    for tokens in theirs[f"{case}.tokens"].tolist():
        sample = {name: theirs[f"{case}.{name}"][begin : begin + tokens] for name in fields}
        crops, begin = chosen(sample), begin + tokens
        assert crops.size.tolist() == [tokens]
        shorter += crops.past.any()
        arrays = collate(stores[case], crops, np.zeros(1, np.int64), 1, tokens, 128)
        for name, values in sample.items():
            np.testing.assert_array_equal(arrays[FIELDS.get(name, name)][0], values, err_msg=name)
    assert shorter > 50
