"""Writes `metrics.md` from the registry of `service/metrics.py`; `make fmt` runs it."""

from pathlib import Path

from service.metrics import Metrics

PAGE = Path(__file__).resolve().parent / "metrics.md"
INTRODUCTION = """# Metrics

Written by `docs/list_metrics.py` from `service/metrics.py`; `make fmt` does it again. `GET /metrics` has them in
Prometheus's text format, in seconds and bytes; a histogram has `_bucket`, `_count` and `_sum` behind its name. How they
are scraped is in [observability](observability.md), what the dashboard and the alerts make of them in
[operations](operations.md).
"""


def metrics_page() -> str:
    """The introduction, then a table of all families."""
    rows = ["| family | kind | labels | what |\n", "| --- | --- | --- | --- |\n"]
    for collector in Metrics().registry._collector_to_names:
        for family in collector.describe() if hasattr(collector, "describe") else ():
            if family.name.startswith("tie_"):
                name = f"{family.name}_total" if family.type == "counter" else family.name
                labels = ", ".join(f"`{label}`" for label in collector._labelnames)
                rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |\n")
    return f"{INTRODUCTION}\n{''.join(rows)}"


if __name__ == "__main__":
    PAGE.write_text(metrics_page(), encoding="utf-8")
