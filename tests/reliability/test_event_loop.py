"""No client holds the event loop: neither with what it sends nor with how much it asks for at once."""

import asyncio
import json
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

from tests.reliability.hostile import check_answers
from tests.reliability.loop_watch import LoopWatch, read_loop_times
from tests.reliability.members import echoing
from tests.reliability.probing import LATEST
from tests.reliability.processes import CONTEXT, Serving, serving_process
from tests.service.fakes import fake_settings
from tests.service.served import GENERATE

HEAD = f"POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n"
BODY = {"prompt": "key 271828182845; go", "reasoning_length": 160, "answer": {"length": 8}, "events": "step"}


async def exchange(url: str, sent: bytes) -> bytes:
    """Everything that comes back, however the server takes what is sent."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    received = b""
    try:
        writer.write(sent)
        async with asyncio.timeout(60):
            while part := await reader.read(65_536):
                received += part
    except ConnectionError:
        pass
    writer.close()
    return received


async def exchange_all(url: str, all_sent: list[bytes]) -> list[bytes]:
    return await asyncio.gather(*(exchange(url, sent) for sent in all_sent))


def test_the_smallest_chunks_cost_the_others_nothing(tmp_path: Path, figure: Callable[[str], None]) -> None:
    read = f"{HEAD}content-type: application/json\r\n\r\n".encode() + b"1\r\n \r\n" * 100_000
    refused = f"{HEAD}content-type: text/plain\r\n\r\n".encode() + b"1\r\n \r\n" * 100_000  # before it is read
    with serving_process(fake_settings(), echoing, tmp_path / "log") as serving:
        answers = asyncio.run(exchange_all(serving.url, [read, refused]))

    times = serving.loop_times()
    figure(f"200,000 chunks of a byte: {times.words}")
    assert check_answers(answers[0]) in ([400], [])  # cut while it still sends, a client may lose its answer
    assert check_answers(answers[1]) in ([415], [400], [])
    assert times.longest < LATEST, times.worst


def followed(serving: Serving, run_id: str) -> bytes:
    path = f"{GENERATE.rpartition('/')[0]}/requests/{run_id}/events?events=step"
    return f"GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n".encode()


def test_followers_of_a_long_run_cost_the_others_nothing(
    tmp_path: Path, figure: Callable[[str], None], numbers: Callable[[int, int], int]
) -> None:
    num_followers = numbers(30, 60)
    with serving_process(fake_settings(), echoing, tmp_path / "log") as serving:
        body = json.dumps(BODY).encode()
        head = f"POST {GENERATE} HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        answer = asyncio.run(exchange(serving.url, f"{head}content-length: {len(body)}\r\n\r\n".encode() + body))
        run_id = json.loads(answer.partition(b"\r\n\r\n")[2])["id"]
        replays = asyncio.run(exchange_all(serving.url, [followed(serving, run_id)] * num_followers))

    times = serving.loop_times()
    num_events = replays[0].count(b"\nid: ") + 1
    figure(f"{num_followers} followers of {num_events} events: {times.words}")
    assert {replay.partition(b"\r\n\r\n")[2] for replay in replays} == {replays[0].partition(b"\r\n\r\n")[2]}
    assert b"event: tie.completed" in replays[0]
    assert times.num_callbacks < 40 * num_followers + 1_000  # one for every event would be far more
    assert times.longest < 2 * LATEST, times.worst


def _tell_the_longest_turn(told: Connection, path: Path) -> None:
    """In a process of its own: 200 callbacks of a millisecond each, ready at once."""
    watch = LoopWatch()

    async def turn() -> None:
        for _ in range(200):
            asyncio.get_running_loop().call_soon(work_for, 0.001)
        await asyncio.sleep(0)

    asyncio.run(turn())
    watch.write(path)
    told.send("written")


def work_for(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_turn_is_as_long_as_all_that_is_done_in_it(tmp_path: Path) -> None:
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_tell_the_longest_turn, args=(theirs, tmp_path / "loop"))
    process.start()
    assert ours.poll(60)
    process.join(10)

    longest, what = read_loop_times(tmp_path / "loop").worst[0]
    assert longest >= 0.2
    assert what.endswith("work_for")
