"""The Prometheus families, one registry per app. Labels come from the configuration, never from clients.

Knows no engine: `observer.py` and `runs.py` say what happened.
"""

import platform
import resource
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

import tie_core

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
SHORT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ROUNDS: Final = (0, 1, 2, 4, 8, 16, 32, 64, 128)


class Families:
    """Makes families in one registry, so that each is one line below."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # CPU time, memory and files of this process, where /proc tells

    def counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"tie_{name}", what, labels, registry=self.registry)

    def gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"tie_{name}", what, labels, registry=self.registry)

    def histogram(self, name: str, what: str, *labels: str, buckets: Sequence[float] = SECONDS) -> Histogram:
        return Histogram(f"tie_{name}", what, labels, buckets=buckets, registry=self.registry)


class RequestMetrics:
    """Requests from the door to their end."""

    def __init__(self, make: Families) -> None:
        self.requests = make.counter("requests", "Requests ended.", "ensemble", "endpoint", "finish_reason")
        self.errors = make.counter("request_errors", "Errors told to clients, answers to probes left out.", "type")
        self.rejections = make.counter("admission_rejections", "Requests refused with 429 or 503.", "reason")
        self.cancellations = make.counter("request_cancellations", "Requests cancelled.", "cause", "phase")
        self.running = make.gauge("requests_running", "Requests in their rounds.", "ensemble")
        self.waiting = make.gauge("requests_waiting", "Requests in the queue.", "ensemble")
        self.places = make.gauge("request_places", "Requests that may be in this state at once.", "state")
        self.streams_open = make.gauge("sse_streams_open", "Event streams open, SSE and NDJSON.", "endpoint")
        self.merged = make.counter("stream_states_merged", "States merged for slow readers.", "endpoint")
        self.duration = make.histogram("request_duration_seconds", "From admission to the end.")
        self.queue = make.histogram("request_queue_seconds", "From admission to the first step.")
        self.first_state = make.histogram("time_to_first_state_seconds", "From admission to the first state told.")
        self.first_answer = make.histogram(
            "time_to_first_answer_token_seconds", "From admission to the first answer token told."
        )
        self.relaying = make.histogram(
            "transcode_duration_seconds", "Of one request: assessing and relaying.", buckets=SHORT_SECONDS
        )
        self.prompt_tokens = make.counter("prompt_tokens", "Prompt tokens of answered requests.")
        self.generated_tokens = make.counter("generated_tokens", "Generated tokens of answered requests.")


class EngineMetrics:
    """The work of the models, and what the relay made of it."""

    def __init__(self, make: Families) -> None:
        self.step_duration = make.histogram(
            "step_duration_seconds", "One packed forward and its commits.", "model", buckets=SHORT_SECONDS
        )
        self.round_duration = make.histogram("round_duration_seconds", "One round.", "ensemble")
        self.barrier_wait = make.histogram(
            "barrier_wait_seconds",
            "A finished member's wait for the slowest.",
            "model",
            buckets=SHORT_SECONDS,
        )
        self.steps = make.counter("denoising_steps", "Denoising steps of relayed or ended trajectories.", "model")
        self.forwards = make.counter("model_forwards", "Forward passes, one per row.", "model", "purpose")
        self.positions = make.counter("forward_positions", "Positions read by forwards.", "model", "purpose")
        self.committed = make.counter(
            "tokens_committed", "Tokens committed, kept or discarded by the ensemble.", "model", "fate"
        )
        self.batch_rows = make.histogram("batch_rows", "Rows of one packed forward.", "model", buckets=ROWS)
        self.out_of_memory = make.counter(
            "out_of_memory", "Forwards that ran out of memory and were done again in smaller ones.", "model"
        )
        self.rounds = make.counter("rounds", "Rounds that ended in a relay.", "ensemble", "score")
        self.wins = make.counter("round_wins", "Rounds led.", "model", "score")
        self.switches = make.counter("leader_switches", "Changes of the leader.", "from_model", "to_model")
        self.ties = make.counter("score_ties", "Rounds in which the best score was shared.", "score")
        self.selections = make.counter("final_selections", "Final answers chosen.", "model", "rule")
        self.transcodes = make.counter("transcodes", "Canvases relayed.", "from_model", "to_model", "result")
        self.degraded = make.counter(
            "degraded_requests", "Requests that lost this model on the way.", "model", "reason"
        )
        self.restarts = make.counter("worker_restarts", "Threads of a model that were started anew.", "model")
        self.request_rounds = make.histogram("request_rounds", "Rounds of one request.", buckets=ROUNDS)


class ResourceMetrics:
    """What is loaded and what it takes."""

    def __init__(self, make: Families) -> None:
        self.ready = make.gauge("ready", "1 when requests are taken.")
        self.device_memory = make.gauge("device_memory_bytes", "Memory in use.", "device", "kind")
        self.model_loaded = make.gauge("model_loaded", "1 when the model is resident.", "model")
        self.weights = make.gauge("model_weights_bytes", "Size of the weights.", "model", "device")
        self.load_duration = make.gauge("model_load_duration_seconds", "Time that loading took.", "model")
        build = make.gauge("build_info", "Versions.", "version", "python", "torch")
        build.labels(tie_core.__version__, platform.python_version(), version("torch")).set(1)

    def watch_device(self, device: str) -> None:
        """Read the device's memory at every scrape."""
        if device.startswith("cuda"):
            for kind, read in _cuda_readers(device):
                self.device_memory.labels(device, kind).set_function(read)
        else:
            self.device_memory.labels(device, "resident").set_function(resident_bytes)


class Metrics:
    """All families of one app."""

    def __init__(self) -> None:
        make = Families()
        self.request = RequestMetrics(make)
        self.engine = EngineMetrics(make)
        self.resource = ResourceMetrics(make)
        self.registry = make.registry

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return prometheus_client.generate_latest(self.registry)


def resident_bytes() -> float:
    """Memory of this process: what it has now on Linux, its highest so far elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
    return float(pages * resource.getpagesize())


def _cuda_readers(device: str) -> list[tuple[str, Callable[[], float]]]:
    import torch  # only where models are on such a device

    return [
        ("allocated", lambda: float(torch.cuda.memory_allocated(device))),
        ("reserved", lambda: float(torch.cuda.memory_reserved(device))),
    ]
