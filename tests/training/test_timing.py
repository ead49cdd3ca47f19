"""Times of steps: the first warms up, evaluations are apart."""

import math

import pytest

from specseq.training import timing


def test_times_are_of_the_steps_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 9.0, 10.0, 20.0, 21.0, 22.0, 24.0, 30.0, 31.0, 34.0, 36.0, 50.0, 57.0])
    monkeypatch.setattr(timing.time, "monotonic", lambda: next(clock))
    times = timing.StepTimes()
    for _ in range(3):
        with times.step(), times.waiting():
            pass
    with times.evaluation():
        pass
    costs = times.costs()
    assert costs == {"seconds_per_step": 5.0, "waiting_share": pytest.approx(0.4), "evaluation_seconds": 7.0}


def test_one_step_counts_and_none_is_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    times = timing.StepTimes()
    assert all(math.isnan(times.costs()[name]) for name in ("seconds_per_step", "evaluation_seconds"))
    clock = iter([0.0, 1.0, 2.0, 4.0])
    monkeypatch.setattr(timing.time, "monotonic", lambda: next(clock))
    with times.step(), times.waiting():
        pass
    assert times.costs()["seconds_per_step"] == 4.0
    assert times.costs()["waiting_share"] == 0.25
