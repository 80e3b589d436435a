"""Retry-After follows the rate at which requests end while there are any."""

from service.drain_rate import LONGEST, DrainRate


def test_before_anything_ended_a_client_comes_back_soon() -> None:
    assert DrainRate().retry_after(now=5.0, num_ahead=100) == 1


def test_the_wait_is_the_measured_time_of_all_that_are_ahead() -> None:
    rate = DrainRate()
    for end in range(11):
        rate.note_end(float(end))

    assert rate.retry_after(now=10.0, num_ahead=20) == 20
    assert rate.retry_after(now=10.0, num_ahead=10_000) == LONGEST


def test_idle_time_does_not_count() -> None:
    rate = DrainRate()
    for end in range(11):
        rate.note_end(float(end))
    rate.note_idle()
    for end in range(600, 603):
        rate.note_end(float(end))

    assert rate.retry_after(now=602.0, num_ahead=5) == 5
