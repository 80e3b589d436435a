"""What a run comes to: throughput, latency, CPU time a token; as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from rich.table import Table

from service.bench.load import Exchange

NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of one side. Seconds are wall seconds; CPU is the whole answering process's, None where it is not told.

    `load` says how requests were sent: `8 at once`, `every 0.25 s`.
    """

    side: str
    load: str
    num_requests: int
    num_tokens: int
    prompt_tokens: tuple[int, ...]
    seconds: float
    cpu_seconds: float | None
    latencies: tuple[float, ...]  # ascending
    mean_batch_rows: float | None = None

    @property
    def tokens_per_second(self) -> float:
        return self.num_tokens / self.seconds

    @property
    def cpu_ms_per_token(self) -> float | None:
        return None if self.cpu_seconds is None else 1000 * self.cpu_seconds / self.num_tokens

    def latency(self, share: float) -> float:
        """The latency that this share of the requests did not exceed."""
        return percentile(self.latencies, share)

    def data(self) -> dict[str, object]:
        """As plain JSON types, with the derived figures."""
        return {
            "side": self.side,
            "load": self.load,
            "requests": self.num_requests,
            "generated_tokens": self.num_tokens,
            "prompt_tokens": list(self.prompt_tokens),
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "cpu_ms_per_token": self.cpu_ms_per_token,
            "tokens_per_second": self.tokens_per_second,
            "requests_per_second": self.num_requests / self.seconds,
            "mean_batch_rows": self.mean_batch_rows,
            "latency_seconds": {
                "p50": self.latency(0.5),
                "p90": self.latency(0.9),
                "p99": self.latency(0.99),
                "max": self.latencies[-1],
            },
        }


def figures_of(
    side: str,
    load: str,
    exchanges: Sequence[Exchange],
    *,
    cpu_seconds: float | None = None,
    mean_batch_rows: float | None = None,
) -> Figures:
    """A finished run: from the first request sent to the last answer."""
    return Figures(
        side=side,
        load=load,
        num_requests=len(exchanges),
        num_tokens=sum(exchange.tokens for exchange in exchanges),
        prompt_tokens=tuple(exchange.prompt_tokens for exchange in exchanges),
        seconds=max(exchange.ended_at for exchange in exchanges) - min(exchange.sent_at for exchange in exchanges),
        cpu_seconds=cpu_seconds,
        latencies=tuple(sorted(exchange.seconds for exchange in exchanges)),
        mean_batch_rows=mean_batch_rows,
    )


def percentile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed (nearest rank)."""
    return ascending[max(0, ceil(share * len(ascending)) - 1)]


def table(rows: Sequence[Figures]) -> Table:
    """For people. `rows` are those of a forward, on average."""
    shown = Table(box=None, pad_edge=False)
    for name in ("side", "load"):
        shown.add_column(name, no_wrap=True)
    for name in ("num", "tokens/s", "p50 s", "p99 s", "max s", "CPU ms/token", "rows"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(row.side, row.load, *_cells(row))
    return shown


def _cells(row: Figures) -> tuple[str, ...]:
    return (
        str(row.num_requests),
        f"{row.tokens_per_second:.1f}",
        *(f"{row.latency(share):.2f}" for share in (0.5, 0.99, 1.0)),
        _optional(row.cpu_ms_per_token),
        _optional(row.mean_batch_rows),
    )


def _optional(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"
