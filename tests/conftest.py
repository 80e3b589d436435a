"""What every test shares: one thread, no network to a model hub, and markers that decide what runs here."""

import os

# Read at import by huggingface_hub and tokenizers, so set before anything imports them.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from collections.abc import Callable

import pytest
import torch

# One thread per test process: results do not depend on the machine, and pytest -n does not oversubscribe it.
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="the reliability suites at their full numbers (`make soak`)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    no_device = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(no_device)


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Note a measured figure; all of them are printed at the end of the run."""
    return lambda words: record_property("figure", words)


@pytest.fixture
def numbers(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`numbers(few, full)`: how many of something this run makes."""
    is_full = bool(request.config.getoption("--full"))
    return lambda few, full: full if is_full else few


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    noted = [pair for report in terminalreporter.getreports("passed") for pair in report.user_properties]
    figures = sorted(str(value) for key, value in noted if key == "figure")
    errors = [float(value) for key, value in noted if key == "golden_error"]
    canvases = [int(value) for key, value in noted if key == "golden_canvases"]
    if errors:
        figures.append(f"golden forwards: {len(errors)} comparisons hold, largest error {max(errors):.1e}")
    if canvases:
        figures.append(f"golden runs: {sum(canvases)} canvases of {len(canvases)} recorded runs are equal")
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(figures))
