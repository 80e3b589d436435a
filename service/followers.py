"""How many connections follow the events of ended and running requests: a run is read again for each of them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from service.errors import RATE_LIMIT, ApiError
from service.record import Record

MOST_OF_A_RUN: Final = 64
MOST_OF_A_KEY: Final = 256  # without keys: of all


class Followers:
    """Counts them by run and by the key that owns it."""

    def __init__(self) -> None:
        self._of_run: Counter[str] = Counter()
        self._of_owner: Counter[str | None] = Counter()

    @contextmanager
    def one_more(self, record: Record) -> Iterator[None]:
        """Raises:
        ApiError: 429, there are enough.
        """
        self._check(self._of_run[record.id], MOST_OF_A_RUN, "this request")
        self._check(self._of_owner[record.owner], MOST_OF_A_KEY, "the requests of one API key")
        self._of_run[record.id] += 1
        self._of_owner[record.owner] += 1
        try:
            yield
        finally:
            self._of_run[record.id] -= 1
            self._of_owner[record.owner] -= 1
            self._of_run, self._of_owner = +self._of_run, +self._of_owner

    @staticmethod
    def _check(there: int, most: int, what: str) -> None:
        if there >= most:
            message = f"{there} connections follow {what}, which is the most: close one of them, or come back later"
            raise ApiError(429, "too_many_followers", message, kind=RATE_LIMIT, headers={"retry-after": "1"})
