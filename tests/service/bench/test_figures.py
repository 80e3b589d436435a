"""What a run comes to."""

import json

import pytest
from rich.console import Console

from service.bench.figures import figures_of, percentile, table
from service.bench.load import Exchange

USAGE = {"usage": {"prompt_tokens": 10, "completion_tokens": 64}}


def exchanges() -> list[Exchange]:
    return [Exchange(sent_at, seconds, USAGE) for sent_at, seconds in ((0.0, 2.0), (1.0, 1.0), (0.5, 3.5))]


def test_throughput_is_from_the_first_request_to_the_last_answer() -> None:
    figures = figures_of("engine", "3 at once", exchanges(), cpu_seconds=1.92)

    assert figures.seconds == 4.0
    assert figures.tokens_per_second == 48.0
    assert figures.cpu_ms_per_token == pytest.approx(10.0)
    assert figures.latencies == (1.0, 2.0, 3.5)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 2.0), (0.9, 4.0), (1.0, 4.0)])
def test_a_percentile_is_a_value_that_was_seen(share: float, value: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], share) == value


def test_what_is_not_known_is_a_dash_and_null() -> None:
    figures = figures_of("openai", "1 at once", exchanges())
    console = Console(width=80, record=True, quiet=True)

    console.print(table([figures]))

    assert figures.data()["cpu_ms_per_token"] is None
    assert json.loads(json.dumps(figures.data()))["latency_seconds"]["max"] == 3.5


def test_the_table_fits_a_narrow_terminal() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table([figures_of("openai", "every 0.25 s", exchanges(), cpu_seconds=100, mean_batch_rows=64)]))

    assert len(captured.get().splitlines()) == 2
    assert "…" not in captured.get()
