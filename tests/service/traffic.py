"""One of everything that a server counts: traffic after which every metric has moved."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from service.routes.openai import CHAT, COMPLETIONS
from service.settings import LimitSettings
from tests.service.fakes import DEADLY, HUGE, NAMES, POISON, STEADY, FakeLoader
from tests.service.served import GENERATE, PROMPT, Served, wait_until

LIMITS = LimitSettings(max_running=1, max_waiting=1)  # so that three requests at once are one too many


def make_traffic(served: Served, loader: FakeLoader) -> str:
    """Against a server with `LIMITS`. Returns `/metrics` from the middle of it."""
    with ThreadPoolExecutor(4) as pool:
        loader.faults.gate.clear()
        running = [pool.submit(served.events, {"prompt": PROMPT, "events": "snapshot"}) for _ in range(2)]
        wait_until(lambda: len(served.service.runs) == 2 and served.service.runs.num_preparing == 0)
        assert served.post({"prompt": PROMPT}).status_code == 503
        wait_until(lambda: served.metric("tie_requests_running", ensemble="tie") == 1)
        meanwhile = served.client.get("/metrics").text
        loader.faults.gate.set()
        assert all(run.result()[-1]["type"] == "tie.completed" for run in running)
    loader.faults.seconds = 0.01
    with httpx.Client(base_url=served.url) as leaving, pytest.raises(httpx.ReadTimeout):
        leaving.post(GENERATE, json={"prompt": PROMPT}, timeout=0.3)
    wait_until(lambda: len(served.service.runs) == 0)
    loader.faults.seconds = 0.0
    assert served.post({"prompt": POISON}).status_code == 500
    assert served.post({"prompt": HUGE}).status_code == 503
    assert served.post({"prompt": 1}).status_code == 400
    assert served.post({"prompt": STEADY}).status_code == 200
    chat = {"model": "tie", "messages": [{"role": "user", "content": PROMPT}], "stream": True}
    assert served.client.post(CHAT, json=chat).status_code == 200
    assert served.client.post(COMPLETIONS, json={"model": NAMES[0], "prompt": PROMPT}).status_code == 200
    for seed in range(6):
        body = {"prompt": f"{PROMPT}{seed}", "tie": {"interval": 4, "score": ("tcc", "top1")[seed % 2]}}
        assert served.post(body).status_code == 200
    assert served.post({"prompt": DEADLY}).status_code == 200
    return meanwhile
