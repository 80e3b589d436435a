"""The playground under load: four members with canvases of 1,024 tokens, every step of each."""

from collections.abc import Callable

from playwright.sync_api import CDPSession

from tests.service.fakes import Faults
from tests.service.page.conftest import Open
from tests.service.page.crowd import CrowdLoader, crowd_settings
from tests.service.served import serving

NUM_MEMBERS, NUM_TOKENS = 4, 1024
LAYOUT = {"gen_length": NUM_TOKENS, "answer": 64, "block_size": 32, "interval": 8, "k": 4}
PICTURE_MS, EVENT_MS = 33.0, 4.0  # of CPU: a frame of 30 a second, and room for many events in one on a busy machine
COUNT = """() => {
    window.counts = { frames: [], pictures: 0, touched: 0 };
    const tick = (now) => {
        if (document.querySelector("#status").textContent.startsWith("running")) counts.frames.push(now);
        requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    const drawn = new MutationObserver(() => { counts.pictures += 1; });
    drawn.observe(document.querySelector("#moment"), { childList: true });
    new MutationObserver((changes) => {
        counts.touched += changes.filter(({ target }) => target.parentElement?.classList.contains("tokens")).length;
    }).observe(document.querySelector("#members"), { subtree: true, childList: true });
}"""


def busy_ms(session: CDPSession) -> float:
    """CPU time of the page's main thread: other programs take none of it."""
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return 1000 * float(metrics["TaskDuration"])


def test_long_canvases_of_many_members_cost_little_and_touch_what_changed(
    open_page: Open, figure: Callable[[str], None]
) -> None:
    faults = Faults()
    with serving(crowd_settings(NUM_MEMBERS, **LAYOUT), CrowdLoader(faults)) as served:
        playground = open_page(served.url, viewport={"width": 1280, "height": 1000}).ready()
        session = playground.page.context.new_cdp_session(playground.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        faults.seconds = 0.02  # a small model's step on a GPU
        faults.gate.clear()
        playground.run("a long one")
        playground.page.wait_for_selector("#result", state="visible")
        playground.page.evaluate(COUNT)
        busy_before = busy_ms(session)

        faults.gate.set()
        playground.finished()

        busy, counts = busy_ms(session) - busy_before, playground.page.evaluate("counts")
        num_events = int(playground.page.get_attribute("#position", "max") or "")
        status, shown = playground.text("#status"), playground.canvases()
    frames, pictures, touched = counts["frames"], counts["pictures"], counts["touched"]
    seconds = (frames[-1] - frames[0]) / 1000
    figure(
        f"playground: {NUM_MEMBERS} members of {NUM_TOKENS} tokens, {num_events} events: {busy / num_events:.1f} ms of"
        f" CPU for an event, {busy / pictures:.0f} ms for a picture of {pictures}; {len(frames) / seconds:.0f} frames"
        f" a second for {seconds:.1f} s beside the server; {touched} tokens written; {status}"
    )
    assert busy < pictures * PICTURE_MS + num_events * EVENT_MS
    assert touched < pictures * NUM_MEMBERS * NUM_TOKENS / 2
    assert any("·" not in canvas for canvas in shown)  # the one that gives the answer
    assert "events at a time" in status
