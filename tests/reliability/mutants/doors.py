"""Seeded bugs of what one client can cost all the others: the content of a body, its chunks, a replay of events."""

from tests.reliability.mutant import Mutant

CONNECTIONS = "tests/service/test_connections.py::"
BURSTS = "tests/service/test_bursts.py::"
LOOP = "tests/reliability/test_event_loop.py::"
FAIR = "tests/service/test_loop.py::"
DOOR = "tests/service/test_door.py::"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a place that the door took is kept when the client leaves",
        "service/protocol.py",
        "        self._give_back()\n        super().connection_lost(exc)",
        "        super().connection_lost(exc)",
        (DOOR + "test_a_place_is_given_back_when_the_client_leaves_before_it_is_parsed",),
    ),
    Mutant(
        "a place that the door took is kept while a client does not read why it got none",
        "service/protocol.py",
        "                place.give_back()\n            await send(message)",
        "                pass\n            await send(message)",
        (DOOR + "test_a_place_is_given_back_while_the_client_does_not_read",),
    ),
    Mutant(
        "a head without its body keeps a place",
        "service/door.py",
        "        if not head.is_whole:",
        "        if False:",
        (DOOR + "test_a_place_is_not_kept_for_a_body_that_does_not_come",),
    ),
    Mutant(
        "the door takes no places, so a burst is parsed as a whole",
        "service/door.py",
        "        return place\n",
        "        place.give_back()\n        return place\n",
        (DOOR + "test_of_a_burst_that_the_door_sees_no_more_is_parsed_than_fits",),
    ),
    Mutant(
        "the door asks nobody for a key",
        "service/door.py",
        "        return self._keys.find_at_once(key) if key is not None else None",
        "        return (self._keys.find_at_once(key) if key is not None else None) or ANYBODY",
        (DOOR + "test_without_a_key_nobody_hears_that_there_is_no_place",),
    ),
    Mutant(
        "the door refuses a replay",
        "service/door.py",
        ' or "idempotency-key" in head.headers',
        "",
        (DOOR + "test_a_replay_needs_no_place",),
    ),
    Mutant(
        "a turn of the loop runs all that is ready",
        "service/loop.py",
        "max(HANDLES_A_TURN, len(turn))",
        "len(self._held) + len(self._urgent)",
        (FAIR + "test_a_socket_is_read_before_the_rest_of_a_burst",),
    ),
    Mutant(
        "what the loop holds back is overtaken",
        "service/loop.py",
        "        self._ready.extendleft(reversed(self._held))",
        "        self._ready.extend(self._held)",
        (FAIR + "test_nothing_that_other_threads_append_is_lost_or_reordered",),
    ),
    Mutant(
        "a probe is answered behind all that is ready",
        "service/protocol.py",
        "            with cast(FairLoop, self.loop).at_once():\n                self._parse()",
        "            self._parse()",
        (BURSTS + "test_a_probe_passes_all_that_is_ready",),
    ),
    Mutant(
        "a list of stop strings has no bound",
        "service/schemas.py",
        "    Field(max_length=4),",
        "    Field(),",
        ("tests/service/test_body_costs.py::test_a_native_body_costs_no_more_than_its_json",),
    ),
    Mutant(
        "a burst of requests is begun in one turn of the event loop",
        "service/protocol.py",
        "(self._knock)\n        else:\n            self._turns.put(self._parse)",
        "(self._knock)\n        else:\n            self._parse()",
        (BURSTS + "test_a_probe_passes_a_burst_of_requests",),
    ),
    Mutant(
        "only the first part of a body waits for its turn",
        "service/protocol.py",
        "self.loop.call_soon(self._turns.put, self._parse)",
        "self.loop.call_soon(self._parse)",
        (BURSTS + "test_a_burst_of_bodies_is_parsed_a_few_parts_a_turn",),
    ),
    Mutant(
        "a client that ends its side takes back what it asked",
        "service/protocol.py",
        "            self._when_parsed = close\n        else:\n            close()\n        return True",
        "            pass\n        return False",
        (BURSTS + "test_a_client_that_ends_its_side_is_answered_in_a_burst_as_well",),
    ),
    Mutant(
        "a request that waits for its turn idles",
        "service/protocol.py",
        "            return  # it is not idle",
        "            pass",
        (BURSTS + "test_a_request_that_came_in_time_is_answered_after_it",),
    ),
    Mutant(
        "a head that waits for its turn is late",
        "service/protocol.py",
        "        if self._unparsed:  # what has come may be the rest of it",
        "        if False:",
        (BURSTS + "test_a_request_that_came_in_time_is_answered_after_it",),
    ),
    Mutant(
        "the end takes no request that waits for its turn",
        "service/protocol.py",
        "            self._when_parsed = super().shutdown",
        "            super().shutdown()",
        (BURSTS + "test_a_request_that_came_before_the_end_is_answered",),
    ),
    Mutant(
        "a connection whose body nobody read is kept for ever",
        "service/protocol.py",
        "            if self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None:",
        "            if False:",
        (CONNECTIONS + "test_a_connection_whose_body_nobody_read_is_let_go",),
    ),
    Mutant(
        "a turn of the event loop parses all that has come",
        "service/protocol.py",
        "        part = bytes(self._unparsed[:TURN_BYTES])",
        "        part = bytes(self._unparsed)",
        (CONNECTIONS + "test_what_is_sent_in_one_piece_is_parsed_in_turns",),
    ),
    Mutant(
        "the log counts from when a request is parsed",
        "service/protocol.py",
        ", arrived=self._arrived)",
        ")",
        (CONNECTIONS + "test_the_log_counts_from_the_moment_a_request_came",),
    ),
    Mutant(
        "the news of all streams are told in one turn of the event loop",
        "service/event_log.py",
        "call_soon_threadsafe(self._turns.put, self._news.set)",
        "call_soon_threadsafe(self._news.set)",
        ("tests/service/test_event_log.py::test_the_readers_of_many_logs_are_woken_a_few_a_turn",),
    ),
    Mutant(
        "a body may have any number of chunks",
        "service/bounded.py",
        "        self._num_chunks += data.chunk_start",
        "        self._num_chunks += 0",
        (CONNECTIONS + "test_the_number_of_chunks_is_bounded_by_their_bytes",),
    ),
    Mutant(
        "every event that waits is sent by itself",
        "service/streams.py",
        "            if len(written) < TURN_BYTES and",
        "            if not written and",
        (LOOP + "test_followers_of_a_long_run_cost_the_others_nothing",),
    ),
    Mutant(
        "the end of every stream takes long",
        "service/streams.py",
        "            written += encode(delivered)\n",
        "            written += [encode(delivered) for _ in range(100_000 if delivered.is_last else 1)][-1]\n",
        ("tests/reliability/test_streams.py::test_no_event_is_lost_doubled_or_out_of_order",),
    ),
)
