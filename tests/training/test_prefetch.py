import pickle
import threading
import time

import pytest

from specseq.training.ahead import Prefetched
from tests.training.counting import Count


def test_batches_come_in_order_and_the_state_is_the_readers() -> None:
    stream = Prefetched(Count(), depth=3)
    assert stream.state_dict() == {"number": 0}
    assert [next(stream) for _ in range(5)] == [0, 1, 2, 3, 4]
    state = pickle.loads(pickle.dumps(stream.state_dict()))
    assert [next(stream) for _ in range(3)] == [5, 6, 7]
    again = Prefetched(Count())
    again.load_state_dict(state)
    assert next(again) == 5
    stream.load_state_dict(state)
    assert [next(stream) for _ in range(2)] == [5, 6]


def test_it_runs_ahead_and_no_further_than_asked() -> None:
    inner = Count()
    stream = Prefetched(inner, depth=2)
    next(stream)
    deadline = time.monotonic() + 10
    while inner.number < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert inner.number == 4, "one read, two ready, one in the thread's hands"
    stream.close()
    assert next(stream) == 1


def test_an_error_reaches_the_reader_and_ends_the_thread() -> None:
    before = threading.active_count()
    stream = Prefetched(Count(bad=2))
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(OSError, match="shard gone"):
        next(stream)
    assert threading.active_count() == before
    with pytest.raises(OSError, match="shard gone"):
        next(stream)


def test_depth_must_be_positive() -> None:
    with pytest.raises(ValueError, match="depth"):
        Prefetched(Count(), depth=0)
