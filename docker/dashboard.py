"""Writes Grafana's dashboard, `grafana/dashboards/tie.json`, from the rows of panels below; `make fmt` runs it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

FILE: Final = Path(__file__).resolve().parent / "grafana" / "dashboards" / "tie.json"
DATASOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
WINDOW: Final = "$__rate_interval"
NUM_COLUMNS: Final = 24  # of Grafana's grid
HEIGHT: Final = 7

Unit = Literal["short", "reqps", "cps", "s", "percentunit", "bytes"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph, or one figure. `queries` are expressions with the legends of their series."""

    title: str
    what: str
    unit: Unit
    queries: Sequence[tuple[str, str]]
    width: int = 8
    kind: Literal["timeseries", "stat"] = "timeseries"
    is_stacked: bool = False


def of(name: str, where: str = "") -> str:
    """The series of the chosen servers."""
    return f'{name}{{instance=~"$instance"{", " if where else ""}{where}}}'


def rate(name: str, by: str = "", where: str = "") -> str:
    """A counter's events a second."""
    events = f"rate({of(name, where)}[{WINDOW}])"
    return f"sum by ({by}) ({events})" if by else f"sum({events})"


def share(part: str, whole: str) -> str:
    return f"{part} / {whole}"


def quantile(level: float, histogram: str, by: str = "") -> str:
    return f"histogram_quantile({level}, {rate(f'{histogram}_bucket', ', '.join(filter(None, (by, 'le'))))})"


def mean(histogram: str, by: str = "") -> str:
    return share(rate(f"{histogram}_sum", by), rate(f"{histogram}_count", by))


def quantiles(histogram: str) -> list[tuple[str, str]]:
    return [(quantile(level, histogram), f"p{level * 100:.0f}") for level in (0.5, 0.95, 0.99)]


TRAFFIC: Final = (
    Panel(
        "Ready",
        "The least ready of the chosen servers: 1 takes requests, 0 does not.",
        "short",
        [(f"min({of('tie_ready')})", "")],
        width=4,
        kind="stat",
    ),
    Panel(
        "Alerts firing",
        "docs/operations.md has an entry for each.",
        "short",
        [('count(ALERTS{alertstate="firing", alertname=~"Tie.*"}) or vector(0)', "")],
        width=4,
        kind="stat",
    ),
    Panel(
        "Requests ended",
        "By route and by how they ended.",
        "reqps",
        [(rate("tie_requests_total", "endpoint, finish_reason"), "{{endpoint}} {{finish_reason}}")],
        is_stacked=True,
    ),
    Panel(
        "Requests running and waiting",
        "Beside the places that there are.",
        "short",
        [
            (f"sum by (ensemble) ({of('tie_requests_running')})", "{{ensemble}} running"),
            (f"sum by (ensemble) ({of('tie_requests_waiting')})", "{{ensemble}} waiting"),
            (f"sum by (state) ({of('tie_request_places')})", "places {{state}}"),
        ],
    ),
    Panel(
        "Refused",
        "With 429 or 503, before any work.",
        "reqps",
        [(rate("tie_admission_rejections_total", "reason"), "{{reason}}")],
        is_stacked=True,
    ),
    Panel(
        "Errors told to clients",
        "By type; answers to probes are left out.",
        "reqps",
        [(rate("tie_request_errors_total", "type"), "{{type}}")],
        is_stacked=True,
    ),
    Panel(
        "Tokens of answered requests",
        "A second.",
        "cps",
        [(rate("tie_prompt_tokens_total"), "prompt"), (rate("tie_generated_tokens_total"), "generated")],
    ),
    Panel(
        "Event streams",
        "Open ones, and how many states a second were merged for readers that are slower than the models: so a slow"
        " reader costs no memory. It is no fault.",
        "short",
        [
            (f"sum by (endpoint) ({of('tie_sse_streams_open')})", "{{endpoint}} open"),
            (rate("tie_stream_states_merged_total", "endpoint"), "{{endpoint}} states merged a second"),
        ],
        width=24,
    ),
)

LATENCY: Final = (
    Panel("Request", "From admission to the end.", "s", quantiles("tie_request_duration_seconds")),
    Panel("Queue", "From admission to the first step.", "s", quantiles("tie_request_queue_seconds")),
    Panel("First state", "From admission to the first state told.", "s", quantiles("tie_time_to_first_state_seconds")),
    Panel(
        "First answer token",
        "From admission to the first answer token told.",
        "s",
        quantiles("tie_time_to_first_answer_token_seconds"),
    ),
    Panel(
        "Step",
        "One packed forward and its commits, p95 by member.",
        "s",
        [(quantile(0.95, "tie_step_duration_seconds", "model"), "{{model}}")],
    ),
    Panel(
        "Round",
        "The interval's steps of every member, and the wait for the slowest: p95 by ensemble.",
        "s",
        [(quantile(0.95, "tie_round_duration_seconds", "ensemble"), "{{ensemble}}")],
    ),
)

RELAY: Final = (
    Panel(
        "Win share",
        "Share of the rounds that each member led. A request to one member alone is won by it.",
        "percentunit",
        [(f"{rate('tie_round_wins_total', 'model')} / on () group_left {rate('tie_round_wins_total')}", "{{model}}")],
        is_stacked=True,
    ),
    Panel(
        "Switch ratio",
        "Share of the rounds whose leader was not the last round's.",
        "percentunit",
        [(share(rate("tie_leader_switches_total"), rate("tie_rounds_total")), "switches")],
    ),
    Panel(
        "Switches",
        "A second, from whom to whom.",
        "cps",
        [(rate("tie_leader_switches_total", "from_model, to_model"), "{{from_model}} to {{to_model}}")],
    ),
    Panel("Rounds by score", "A second.", "cps", [(rate("tie_rounds_total", "score"), "{{score}}")], is_stacked=True),
    Panel(
        "Ties",
        "Share of the rounds in which the best score was shared, by score.",
        "percentunit",
        [(share(rate("tie_score_ties_total", "score"), f"({rate('tie_rounds_total', 'score')} > 0)"), "{{score}}")],
    ),
    Panel(
        "Final answers",
        "A second, by the member that gave them and the rule that chose it.",
        "cps",
        [(rate("tie_final_selections_total", "model, rule"), "{{model}} by {{rule}}")],
        is_stacked=True,
    ),
    Panel(
        "Rounds of a request",
        "Those that ended in a relay.",
        "short",
        [
            (mean("tie_request_rounds"), "mean"),
            (quantile(0.95, "tie_request_rounds"), "p95"),
        ],
    ),
    Panel(
        "Canvases relayed",
        "A second, by how they arrived. Overflow: the leader's text did not fit, and the member kept its own.",
        "cps",
        [(rate("tie_transcodes_total", "result"), "{{result}}")],
        is_stacked=True,
    ),
    Panel(
        "Assessing and relaying",
        "In all rounds of a request together.",
        "s",
        quantiles("tie_transcode_duration_seconds"),
    ),
)

WASTE: Final = (
    Panel(
        "Tokens discarded",
        "Share of each member's committed tokens that a relay or the final choice threw away.",
        "percentunit",
        [
            (
                share(
                    rate("tie_tokens_committed_total", "model", 'fate="discarded"'),
                    rate("tie_tokens_committed_total", "model"),
                ),
                "{{model}}",
            )
        ],
    ),
    Panel(
        "Degraded requests",
        "Answered ones that lost a member on the way, by member and reason.",
        "reqps",
        [(rate("tie_degraded_requests_total", "model, reason"), "{{model}} {{reason}}")],
        is_stacked=True,
    ),
    Panel(
        "Cancellations",
        "By cause, and whether the request ran already.",
        "reqps",
        [(rate("tie_request_cancellations_total", "cause, phase"), "{{cause}} {{phase}}")],
        is_stacked=True,
    ),
    Panel(
        "Forwards",
        "One for each row; what scoring reads is beyond what decoding needs.",
        "cps",
        [(rate("tie_model_forwards_total", "purpose"), "{{purpose}}")],
        width=12,
        is_stacked=True,
    ),
    Panel(
        "Tokens kept for each forward",
        "What a forward comes to once the ensemble has chosen: the members' forwards together.",
        "short",
        [
            (
                share(rate("tie_tokens_committed_total", where='fate="kept"'), rate("tie_model_forwards_total")),
                "kept",
            )
        ],
        width=12,
    ),
)

RESOURCES: Final = (
    Panel(
        "Memory",
        "By device, and the process's own.",
        "bytes",
        [
            (f"sum by (device, kind) ({of('tie_device_memory_bytes')})", "{{device}} {{kind}}"),
            (f"sum by (model, device) ({of('tie_model_weights_bytes')})", "weights of {{model}} on {{device}}"),
            (f"sum by (instance) ({of('process_resident_memory_bytes')})", "process {{instance}}"),
        ],
    ),
    Panel(
        "Batch rows",
        "Canvases that one forward reads, by member.",
        "short",
        [
            (mean("tie_batch_rows", "model"), "{{model}} mean"),
            (quantile(0.95, "tie_batch_rows", "model"), "{{model}} p95"),
        ],
    ),
    Panel(
        "Barrier wait",
        "How long a member that has finished its round waits for the slowest: p95 by member. Who waits least holds the"
        " others up.",
        "s",
        [(quantile(0.95, "tie_barrier_wait_seconds", "model"), "{{model}}")],
    ),
    Panel(
        "Out of memory",
        "Forwards a second that were done again in smaller ones.",
        "cps",
        [(rate("tie_out_of_memory_total", "model"), "{{model}}")],
    ),
    Panel(
        "Threads started anew",
        "A second, by member.",
        "cps",
        [(rate("tie_worker_restarts_total", "model"), "{{model}}")],
    ),
    Panel("CPU time", "Seconds a second.", "short", [(rate("process_cpu_seconds_total", "instance"), "{{instance}}")]),
)

ROWS: Final[Mapping[str, Sequence[Panel]]] = {
    "Traffic": TRAFFIC,
    "Latency": LATENCY,
    "Relay": RELAY,
    "Waste": WASTE,
    "Resources": RESOURCES,
}


def dashboard() -> dict[str, Any]:
    """In Grafana's own format."""
    return {
        "uid": "tie",
        "title": "TIE Server",
        "tags": ["tie"],
        "editable": True,
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [_instance_variable()]},
        "panels": list(_laid_out()),
    }


def _instance_variable() -> dict[str, Any]:
    return {
        "name": "instance",
        "label": "Server",
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": "label_values(tie_ready, instance)", "refId": "instance"},
        "refresh": 2,  # whenever the time range changes, so that new servers appear
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _laid_out() -> Iterator[dict[str, Any]]:
    """Rows and their panels, from left to right and from top to bottom."""
    number, top = 1, 0
    for title, panels in ROWS.items():
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": _place(0, top)}
        number, top, left = number + 1, top + 1, 0
        for panel in panels:
            if left + panel.width > NUM_COLUMNS:
                left, top = 0, top + HEIGHT
            yield _panel(panel) | {"id": number, "gridPos": _place(left, top, panel.width, HEIGHT)}
            number, left = number + 1, left + panel.width
        top += HEIGHT


def _place(left: int, top: int, width: int = NUM_COLUMNS, height: int = 1) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    stacking = {"stacking": {"mode": "normal"}, "fillOpacity": 30} if panel.is_stacked else {"fillOpacity": 5}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.what,
        "datasource": DATASOURCE,
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": expression, "legendFormat": legend}
            for index, (expression, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": stacking if panel.kind == "timeseries" else {}},
            "overrides": [],
        },
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}} if panel.kind == "timeseries" else {},
    }


def as_text() -> str:
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text(), encoding="utf-8")
