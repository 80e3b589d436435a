"""Large bodies share some memory, small ones are never in their way, and what was held is given back."""

import pytest

from service import bodies as bodies_module
from service.bodies import SMALL_BYTES, Bodies
from service.errors import ApiError
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import PROMPT, serving


def test_large_bodies_are_bounded_and_small_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies_module, "MAX_LARGE", 1)
    bodies, part = Bodies(), b"x" * SMALL_BYTES
    with bodies.reading() as first, bodies.reading() as second, bodies.reading() as small:
        for body in (first, second, small):
            body.put(part)
        first.put(b"1")
        first.put(part)
        with pytest.raises(ApiError) as refused:
            second.put(b"2")
        assert small.whole() == part
        assert first.whole() == part + b"1" + part
    assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "1"})
    assert bodies.num_large == 0


def test_over_http_a_large_body_waits_for_its_turn_and_a_small_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = {"prompt": PROMPT, "x": "x" * SMALL_BYTES}, {"prompt": PROMPT}
    with serving(fake_settings(), FakeLoader()) as served:
        admitted = served.post(large)
        monkeypatch.setattr(bodies_module, "MAX_LARGE", 0)
        refused, answered = served.post(large), served.post(small)

        assert (admitted.status_code, answered.status_code) == (400, 200)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_full")
        assert served.service.bodies.num_large == 0
