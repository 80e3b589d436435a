"""One `/metrics` of all replicas on Ray Serve: whichever is asked asks all, and says of every sample whose it is."""

from collections.abc import Mapping
from typing import Final

from ray import serve

from service.metrics import Metrics

SECONDS: Final = 4.0  # in which all have to answer; Prometheus is told to wait for 5
FAMILY: Final = "# HELP "


class ReplicaMetrics(Metrics):
    """Of one replica. Its deployment has a method `own_metrics`, which gives its name and `own_exposition`."""

    def own_exposition(self) -> str:
        return super().exposition().decode()

    def exposition(self) -> bytes:
        """Of all replicas that answer. Blocks; not to be called in an event loop."""
        here = serve.get_replica_context()
        handle = serve.get_deployment_handle(here.deployment, here.app_name)
        told = handle.broadcast("own_metrics").results(timeout_s=SECONDS, return_exceptions=True)
        return joined(dict(each for each in told if not isinstance(each, BaseException))).encode()


def joined(expositions: Mapping[str, str]) -> str:
    """Expositions by their replicas as one, in which every sample has a label `replica`."""
    families: dict[tuple[str, str], list[str]] = {}
    for replica, exposition in sorted(expositions.items()):
        for family in exposition.split(FAMILY)[1:]:
            what, kind, *samples = family.splitlines()
            families.setdefault((what, kind), []).extend(_of(replica, sample) for sample in samples)
    return "".join(f"{FAMILY}{what}\n{kind}\n" + "".join(samples) for (what, kind), samples in families.items())


def _of(replica: str, sample: str) -> str:
    name, _, value = sample.partition(" ")
    if "{" in name:
        return sample.replace("{", f'{{replica="{replica}",', 1) + "\n"
    return f'{name}{{replica="{replica}"}} {value}\n'
