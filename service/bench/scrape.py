"""A server's `/metrics`, read as numbers, so that a run can be told apart by what it added to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

CPU_SECONDS: Final = "process_cpu_seconds_total"


@dataclass(frozen=True, slots=True)
class Scrape:
    """The samples of one moment, by name and labels."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name that carry these labels; 0 if there is none."""
        wanted = set(labels.items())
        return sum(value for (known, told), value in self.samples.items() if known == name and wanted <= told)

    def has(self, name: str) -> bool:
        return any(known == name for known, _ in self.samples)

    def since(self, before: "Scrape") -> "Scrape":
        """What was added after `before`."""
        return Scrape({key: value - before.samples.get(key, 0.0) for key, value in self.samples.items()})

    @property
    def mean_batch_rows(self) -> float | None:
        """Rows of a packed forward on average; None where none was made."""
        num = self.total("tie_batch_rows_count")
        return self.total("tie_batch_rows_sum") / num if num else None


def parse_scrape(text: str) -> Scrape:
    """Read the Prometheus text format."""
    return Scrape(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    )


async def scrape(client: httpx.AsyncClient) -> Scrape | None:
    """A server's metrics; None if it has no such page or another format."""
    try:
        response = await client.get("/metrics")
        return parse_scrape(response.text) if response.is_success else None
    except (httpx.HTTPError, ValueError):
        return None
