"""Metrics are read as numbers, and a run is what it added to them."""

from service.bench.scrape import parse_scrape

BEFORE = """\
# TYPE tie_batch_rows histogram
tie_batch_rows_sum{model="a"} 10.0
tie_batch_rows_count{model="a"} 5.0
# TYPE tie_model_forwards_total counter
tie_model_forwards_total{model="a",purpose="decode"} 10.0
tie_model_forwards_total{model="a",purpose="score"} 1.0
"""
AFTER = """\
# TYPE tie_batch_rows histogram
tie_batch_rows_sum{model="a"} 40.0
tie_batch_rows_count{model="a"} 10.0
tie_batch_rows_sum{model="b"} 10.0
tie_batch_rows_count{model="b"} 5.0
# TYPE tie_model_forwards_total counter
tie_model_forwards_total{model="a",purpose="decode"} 25.0
tie_model_forwards_total{model="a",purpose="score"} 4.0
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 2.5
"""


def test_a_run_is_the_difference_of_two_scrapes() -> None:
    spent = parse_scrape(AFTER).since(parse_scrape(BEFORE))

    assert spent.total("tie_model_forwards_total") == 18
    assert spent.total("tie_model_forwards_total", purpose="score") == 3
    assert spent.mean_batch_rows == 4.0


def test_what_is_not_told_is_known_to_be_missing() -> None:
    assert parse_scrape(AFTER).has("process_cpu_seconds_total")
    assert not parse_scrape(BEFORE).has("process_cpu_seconds_total")
    assert parse_scrape("").mean_batch_rows is None
