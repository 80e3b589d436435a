"""Seeded bugs of the door: who comes in without a key, what is let in beyond its bound, who waits behind whom."""

from tests.reliability.mutant import Mutant

AUTH = "tests/reliability/test_auth.py::"
QUOTAS = "tests/service/test_quotas.py::"
CONNECTIONS = "tests/service/test_connections.py::"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a path that begins like a probe is open",
        "service/gate.py",
        'if scope["path"] in PROBES and',
        'if scope["path"].startswith(tuple(PROBES)) and',
        (AUTH + "test_nothing_but_the_probes_and_the_page_answers_without_a_key",),
    ),
    Mutant(
        "all that lies under the page is open",
        "service/page/__init__.py",
        "(path.startswith(FOLDER) and path.removeprefix(FOLDER) in assets())",
        "path.startswith(FOLDER)",
        (AUTH + "test_nothing_but_the_probes_and_the_page_answers_without_a_key",),
    ),
    Mutant(
        "the page is open to every method",
        "service/gate.py",
        "method in READ_METHODS and is_of_page(path)",
        "is_of_page(path)",
        (AUTH + "test_nothing_but_the_probes_and_the_page_answers_without_a_key",),
    ),
    Mutant(
        "metrics are always open",
        "service/gate.py",
        "not (auth.open_metrics and path == METRICS)",
        "path != METRICS",
        (AUTH + "test_metrics_need_a_key_unless_they_are_open",),
    ),
    Mutant(
        "a key that was taken back stays valid where the file has a mistake",
        "service/keys.py",
        "for digest in known if digest in standing}",
        "for digest in known}",
        (AUTH + "test_of_a_broken_file_only_what_still_stands_in_it_is_valid",),
    ),
    Mutant(
        "keys are looked up by their plain digests",
        "service/keys.py",
        "return blake2b(digest, key=self._secret, digest_size=16).digest()",
        "return digest",
        (AUTH + "test_what_a_lookup_compares_with_a_stored_digest_it_compares_in_constant_time",),
    ),
    Mutant(
        "a file of keys that is gone changes nothing",
        "service/keys.py",
        "        if found == stamp:",
        "        if found == stamp or not found:",
        (AUTH + "test_a_file_without_keys_lets_nobody_in",),
    ),
    Mutant(
        "a host is allowed by how it begins",
        "service/gate.py",
        'is_loopback(name.strip("[]"))',
        'name.startswith(("localhost", "127."))',
        (AUTH + "test_a_server_without_keys_answers_to_its_names_alone",),
    ),
    Mutant(
        "what is refused is charged",
        "service/quotas.py",
        "limiter.test(",
        "limiter.hit(",
        (QUOTAS + "test_what_is_refused_is_not_charged",),
    ),
    Mutant(
        "joining a run is outside the quotas",
        "service/runs.py",
        "            self._admission.count()",
        "            pass",
        (QUOTAS + "test_joining_a_run_is_a_request_and_parses_nothing",),
    ),
    Mutant(
        "a bad request is not counted",
        "service/admission.py",
        "        self._quotas.count(holder)\n        try:",
        "        try:",
        (QUOTAS + "test_a_request_counts_whatever_becomes_of_it",),
    ),
    Mutant(
        "one key's ended runs push out another's",
        "service/kept.py",
        "self._forget(_oldest(max(self._owned.values(), key=len)))",
        "self._forget(_oldest(self._records))",
        ("tests/service/test_kept.py",),
    ),
    Mutant(
        "what was cancelled counts as done in Retry-After",
        "service/admission.py",
        "if isinstance(end, Completed) and not end.tie.partial:",
        "if True:",
        ("tests/service/test_admission.py",),
    ),
    Mutant(
        "tenants are served in the order of arrival",
        "tie_core/engine/waiting.py",
        "    return tenant.start_tag, number",
        "    return 0, number",
        ("tests/engine/test_waiting.py",),
    ),
    Mutant(
        "a head that is complete has no bound",
        "service/bounded.py",
        "if end > self._limits.max_header_bytes:",
        "if end == len(received) > self._limits.max_header_bytes:",
        (CONNECTIONS + "test_a_head_that_is_too_large_is_refused",),
    ),
    Mutant(
        "every byte of a head gains its client time",
        "service/protocol.py",
        "        if awaited == self._awaited:\n            return\n",
        "",
        (CONNECTIONS + "test_a_head_that_trickles_in_times_out",),
    ),
    Mutant(
        "scoring is forgotten in the cost",
        "tie_core/cost.py",
        '    return others if readers == "everybody" and request.options.cross_model else min(1, others)',
        "    return 0",
        ("tests/test_cost.py",),
    ),
    Mutant(
        "brackets that close are not told from those that open",
        "service/encoding.py",
        "            depth -= 1\n",
        "",
        ("tests/service/test_errors.py::test_complexity_is_told_by_brackets_outside_of_text",),
    ),
    Mutant(
        "what a tenant was given is forgotten as soon as it has nothing waiting",
        "tie_core/engine/waiting.py",
        "if not each.runs and each.start_tag <= self._clock]",
        "if not each.runs]",
        ("tests/engine/test_waiting.py",),
    ),
    Mutant(
        "the reserve is for whoever comes",
        "service/admission.py",
        "if held[holder.name] >= share:",
        "if held[holder.name] >= 100:",
        ("tests/reliability/test_overload.py::test_keys_that_flood_leave_places_for_others",),
    ),
)
