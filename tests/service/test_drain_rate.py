"""Retry-After follows the rate at which work ends while there are any."""

from service.drain_rate import LONGEST, DrainRate


def test_before_anything_ended_a_client_comes_back_soon() -> None:
    assert DrainRate().retry_after(now=5.0, positions=100) == 1


def test_the_wait_is_the_measured_time_of_all_that_are_ahead() -> None:
    rate = DrainRate()
    for end in range(11):
        rate.note_end(float(end), 10)

    assert rate.retry_after(now=10.0, positions=200) == 20
    assert rate.retry_after(now=10.0, positions=10_000) == LONGEST


def test_idle_time_does_not_count() -> None:
    rate = DrainRate()
    for end in range(11):
        rate.note_end(float(end), 10)
    rate.note_idle()
    for end in range(600, 603):
        rate.note_end(float(end), 10)

    assert rate.retry_after(now=602.0, positions=50) == 5


def test_a_large_request_counts_for_what_it_costs() -> None:
    rate = DrainRate()
    for end, positions in enumerate((1_000, 10, 90)):
        rate.note_end(float(end), positions)

    assert rate.retry_after(now=2.0, positions=500) == 10
