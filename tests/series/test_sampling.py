import numpy as np
import pytest

from specseq.errors import InputError
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.prepare import prepare_store
from specseq.series.sampling import clipped_shares, series_sampler
from specseq.series.store import Store, open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("sampling")
    start = np.datetime64("2020-01-01T00:00:00")

    def write(name: str, lengths: list[int]) -> None:
        items = [Item(f"{n}", start, "H", np.sin(np.arange(float(n)))) for n in lengths]
        write_folder(root / "corpus" / name, items)

    write("large", [200_000, 100_000])
    write("many", [20, 20, 40])
    write("tiny", [16])
    prepare_store(root / "corpus", root / "store")
    return open_store(root / "store")


def share(store: Store, **how: object) -> np.ndarray:
    cumulative = series_sampler(store, **how).cumulative  # type: ignore[arg-type]
    return np.diff(cumulative, prepend=0.0)


def test_unweighted_sampling_is_by_series(store: Store) -> None:
    np.testing.assert_allclose(share(store), np.full(6, 1 / 6))


def test_weighted_sampling_clips_the_share_of_points_and_is_by_length_within(store: Store) -> None:
    total = 300_096
    raw = np.array([0.001, 80 / total, 16 / total])
    np.testing.assert_allclose(clipped_shares(np.array([300_000, 80, 16.0])), raw / raw.sum())
    assert clipped_shares(np.zeros(2)).tolist() == [0, 0]
    large, many, tiny = raw / raw.sum()
    expected = [large * 2 / 3, large / 3, many / 4, many / 4, many / 2, tiny]
    np.testing.assert_allclose(share(store, sampling="weighted"), expected)


def test_custom_weights(store: Store) -> None:
    found = share(store, sampling="custom", weights={"tiny": 3, "large": 1})
    np.testing.assert_allclose(found, [0.25 * 2 / 3, 0.25 / 3, 0, 0, 0, 0.75])


def test_draws_follow_the_distribution_and_skip_what_is_not_eligible(store: Store) -> None:
    eligible = np.array([True, True, True, False, True, False])
    sampler = series_sampler(store, eligible=eligible)
    counts = np.bincount(sampler.draw(np.random.default_rng(0), 60_000), minlength=6) / 60_000
    expected = np.array([1, 1, 1, 0, 1, 0]) / 4
    np.testing.assert_allclose(counts, expected, atol=0.01)
    assert counts[[3, 5]].tolist() == [0, 0]


def test_weighted_sampling_ignores_what_is_not_eligible(store: Store) -> None:
    eligible = np.array([True, False, True, False, True, False])
    found = share(store, sampling="weighted", eligible=eligible)
    raw = np.array([0.001, 60 / 200_060])
    large, many = raw / raw.sum()
    np.testing.assert_allclose(found, [large, 0, many / 3, 0, many * 2 / 3, 0])


def test_a_draw_at_either_edge_is_a_series(store: Store) -> None:
    class Edges:
        def random(self, count: int) -> np.ndarray:
            return np.array([0.0, np.nextafter(1.0, 0.0)])

    drawn = series_sampler(store).draw(Edges(), 2)  # type: ignore[arg-type]
    assert drawn.tolist() == [0, 5]
    inner = series_sampler(store, eligible=np.array([False, True, True, True, True, False]))
    assert inner.draw(Edges(), 2).tolist() == [1, 4]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"sampling": "heavy"}, "unknown kind"),
        ({"sampling": "custom", "weights": {"nothing": 1}}, "no sub-dataset is called"),
        ({"sampling": "custom", "weights": {"tiny": -1}}, r"weights\.tiny"),
        ({"sampling": "custom", "weights": {"tiny": float("nan")}}, r"weights\.tiny"),
        ({"sampling": "custom", "weights": {}}, "weigh other sub-datasets"),
        ({"eligible": np.zeros(6, bool)}, "the longest has"),
    ],
)
def test_bad_sampling_is_said_in_one_line(store: Store, how: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        series_sampler(store, **how)  # type: ignore[arg-type]
