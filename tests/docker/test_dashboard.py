"""The dashboard is what its script writes, and what Grafana can lay out."""

import runpy
from itertools import combinations
from typing import Any

from tests.docker.programs import DOCKER

SCRIPT = runpy.run_path(str(DOCKER / "dashboard.py"))


def panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = SCRIPT["dashboard"]()["panels"]
    return panels


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


def test_the_file_is_what_the_script_writes() -> None:
    written = (DOCKER / "grafana" / "dashboards" / "tie.json").read_text(encoding="utf-8")

    assert written == SCRIPT["as_text"](), "run `make fmt`"


def test_panels_lie_beside_each_other_inside_the_grid() -> None:
    places = [panel["gridPos"] for panel in panels()]

    assert not [pair for pair in combinations(places, 2) if overlap(*pair)]
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_rows_are_what_an_operator_looks_for() -> None:
    assert [panel["title"] for panel in panels() if panel["type"] == "row"] == [
        "Traffic",
        "Latency",
        "Relay",
        "Waste",
        "Resources",
    ]


def test_every_panel_has_a_number_of_its_own_and_says_what_it_shows() -> None:
    numbers = [panel["id"] for panel in panels()]

    assert len(set(numbers)) == len(numbers)
    assert all(panel["description"].endswith(".") for panel in panels() if panel["type"] != "row")
