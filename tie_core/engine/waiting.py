"""The requests that wait for a place: tenants in turn, by what each has been given, and in order within a tenant.

Start-time fair queueing over the costs of requests: who floods waits behind its own requests, not others behind it. A
request's start tag is where its tenant's last one ended on a clock of positions given; the lowest tag is next, and the
clock shows the tag that was taken last. No lock: the conductor's own.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from tie_core.cost import cost_of
from tie_core.engine.run import Run


@dataclass(slots=True)
class _Tenant:
    start_tag: int = 0  # of its next request
    runs: OrderedDict[str, tuple[int, int, Run]] = field(default_factory=OrderedDict)  # number, positions, run


class Waiting:
    """Waiting runs by their keys."""

    def __init__(self) -> None:
        self._tenants: dict[str, _Tenant] = {}
        self._tenant_of: dict[str, str] = {}
        self._clock = 0  # in positions
        self._num_put = 0

    def __len__(self) -> int:
        return len(self._tenant_of)

    def __contains__(self, key: str) -> bool:
        return key in self._tenant_of

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(run for tenant in self._tenants.values() for _, _, run in tenant.runs.values())

    def get(self, key: str) -> Run | None:
        name = self._tenant_of.get(key)
        return None if name is None else self._tenants[name].runs[key][2]

    def put(self, run: Run) -> None:
        """Who has nothing waiting saves nothing up either: it starts where the others are."""
        request = run.request
        tenant = self._tenants.setdefault(request.tenant, _Tenant())
        if not tenant.runs:
            tenant.start_tag = max(tenant.start_tag, self._clock)
        self._num_put += 1
        tenant.runs[run.key] = self._num_put, cost_of(request).positions, run
        self._tenant_of[run.key] = request.tenant

    def take(self) -> Run:
        """The oldest run of the tenant whose start tag is lowest. There is one."""
        name = min((_turn(tenant), name) for name, tenant in self._tenants.items() if tenant.runs)[1]
        tenant = self._tenants[name]
        self._clock = tenant.start_tag
        key, (_, positions, run) = tenant.runs.popitem(last=False)
        tenant.start_tag += positions
        del self._tenant_of[key]
        self._forget_idle()
        return run

    def remove(self, key: str) -> None:
        """Nothing happens if it does not wait."""
        name = self._tenant_of.pop(key, None)
        if name is not None:
            del self._tenants[name].runs[key]
            self._forget_idle()

    def _forget_idle(self) -> None:
        """Who has nothing waiting and nothing ahead of the others would start where everybody new starts."""
        idle = [name for name, each in self._tenants.items() if not each.runs and each.start_tag <= self._clock]
        for name in idle:
            del self._tenants[name]

    def place(self, key: str) -> int:
        """How many are taken up to this one, itself included, if nobody else comes."""
        tags = {name: tenant.start_tag for name, tenant in self._tenants.items()}
        lines = {name: list(tenant.runs.items()) for name, tenant in self._tenants.items() if tenant.runs}
        taken = dict.fromkeys(lines, 0)
        for place in range(1, len(self) + 1):
            turns = (
                (tags[name], line[taken[name]][1][0], name) for name, line in lines.items() if taken[name] < len(line)
            )
            name = min(turns)[2]
            found, (_, positions, _) = lines[name][taken[name]]
            if found == key:
                return place
            tags[name] += positions
            taken[name] += 1
        raise KeyError(key)


def _turn(tenant: _Tenant) -> tuple[int, int]:
    number, _, _ = next(iter(tenant.runs.values()))
    return tenant.start_tag, number
