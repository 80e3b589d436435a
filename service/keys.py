"""API keys: a file of names and hashes, read again when it changes. A key itself is kept nowhere.

Keys are 256 random bits, so a plain SHA-256 is enough: there is nothing to guess that a slow hash would slow down.
"""

import asyncio
import errno
import os
import re
import secrets
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b, sha256
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, StringConstraints, ValidationError
from structlog.typing import FilteringBoundLogger

from service.quotas import Holder, Quota
from service.settings import Count, Name, Section, SettingsError

LOOK_SECONDS: Final = 1.0  # between two looks at the file
PREFIX: Final = "tie-"
MAX_BYTES: Final = 1_000_000
NO_DIGEST: Final = bytes(32)  # what a key that is not there is compared with
DIGEST: Final = re.compile(rb"[0-9a-f]{64}")


class KeyEntry(Section):
    """One `[[keys]]` of the file."""

    name: Name
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    requests_per_minute: Count | None = None
    positions_per_minute: Count | None = None
    concurrent_requests: Count | None = None

    @property
    def holder(self) -> Holder:
        quota = Quota(self.requests_per_minute, self.positions_per_minute, self.concurrent_requests)
        return Holder(self.name, quota)


class KeysFile(Section):
    """The whole file."""

    keys: list[KeyEntry] = Field(default_factory=list)


class _Table:
    """Who holds which key, told in a time that says nothing of any stored digest.

    A dict compares what it looks up byte by byte: here that is a tag, BLAKE2b of a digest under a secret of this table,
    of which nobody outside can choose or foresee a bit. The digest that a tag leads to is compared in constant time.
    """

    def __init__(self, holders: Mapping[bytes, Holder]) -> None:
        self.holders = holders
        self._secret = secrets.token_bytes(blake2b.MAX_KEY_SIZE)
        self._entries = {self._tag(digest): (digest, holder) for digest, holder in holders.items()}

    def find(self, digest: bytes) -> Holder | None:
        stored, holder = self._entries.get(self._tag(digest), (NO_DIGEST, None))
        return holder if compare_digest(stored, digest) else None

    def _tag(self, digest: bytes) -> bytes:
        return blake2b(digest, key=self._secret, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found at a look at the file. `error` says why it cannot be used as it is."""

    stamp: tuple[int, ...]
    table: _Table
    error: str | None = None


class Keys:
    """The keys of a file. The event loop's, but for `expire`, which a signal handler may call.

    Whatever is wrong with the file, a key that does not stand in it is not valid.
    """

    def __init__(self, path: Path, log: FilteringBoundLogger) -> None:
        """Raises:
        SettingsError: a file that cannot be used, or has no key: it would lock everybody out.
        """
        self._path = path
        self._log = log
        self._stamp: tuple[int, ...] | None = _stamp(path)
        self._table = _Table(read_needed_keys(path))
        self._looked = time.monotonic()
        self._looking = asyncio.Lock()

    async def find(self, key: str) -> Holder | None:
        """Whose key it is."""
        await self._refresh()
        return self._find(key)

    def find_at_once(self, key: str) -> Holder | None:
        """None also where the file would have to be looked at first."""
        return self._find(key) if self._is_fresh() and not self._looking.locked() else None

    def expire(self) -> None:
        """Read the file again at the next request, changed or not."""
        self._stamp, self._looked = None, -LOOK_SECONDS

    async def _refresh(self) -> None:
        """In a thread, for a large file takes long; whoever comes meanwhile waits for what it says."""
        if self._is_fresh() and not self._looking.locked():
            return
        async with self._looking:
            if self._is_fresh():
                return
            self._looked = time.monotonic()
            look = await asyncio.to_thread(self._look, self._stamp, self._table.holders)
            if look is None:
                return
            self._stamp, self._table = look.stamp, look.table
            names = [holder.name for holder in look.table.holders.values()]
            if look.error is not None:
                self._log.error(
                    "keys not reloaded: those that still stand in the file stay", error=look.error, names=names
                )
            elif names:
                self._log.info("keys reloaded", names=names)
            else:
                self._log.error("keys reloaded: there are none, nobody may ask")

    def _find(self, key: str) -> Holder | None:
        return self._table.find(sha256(key.encode("utf-8", "surrogateescape")).digest())

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._looked < LOOK_SECONDS

    def _look(self, stamp: tuple[int, ...] | None, known: Mapping[bytes, Holder]) -> _Look | None:
        """In a thread. None: nothing has changed."""
        found = _stamp(self._path)
        if found == stamp:
            return None
        text = b""
        try:
            text = _read(self._path)
            return _Look(found, _Table(parse_keys(self._path, text)))
        except SettingsError as error:
            standing = _digests_in(text)
            return _Look(found, _Table({digest: known[digest] for digest in known if digest in standing}), str(error))


def read_needed_keys(path: Path) -> dict[bytes, Holder]:
    """As `read_keys`, and one at least: a file without any would lock everybody out.

    Raises:
        SettingsError: a file that cannot be used, or has no key.
    """
    holders = read_keys(path)
    if not holders:
        raise SettingsError(f"the keys file {path} has no key: `tie keys new NAME` makes one")
    return holders


def read_keys(path: Path) -> dict[bytes, Holder]:
    """By the digest of each key.

    Raises:
        SettingsError: a file that cannot be used; says why, without what it holds.
    """
    return parse_keys(path, _read(path))


def parse_keys(path: Path, text: bytes) -> dict[bytes, Holder]:
    """As `read_keys`, of a text that the file has or would have."""
    try:
        if len(text) > MAX_BYTES:
            raise SettingsError(f"the keys file {path} exceeds {MAX_BYTES:,} bytes")
        entries = KeysFile.model_validate(tomllib.loads(text.decode("utf-8"))).keys
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in detail["loc"])
        raise SettingsError(f"the keys file {path} is not valid at {where}: {detail['msg']}") from None
    except (ValueError, RecursionError):
        raise SettingsError(f"the keys file {path} is not valid TOML") from None
    for what in ("name", "sha256"):
        if len({getattr(entry, what) for entry in entries}) < len(entries):
            raise SettingsError(f"the keys file {path} has one {what} twice")
    return {bytes.fromhex(entry.sha256): entry.holder for entry in entries}


def add_key(path: Path, name: str) -> str:
    """Write a new key's hash to the end of the file, which may be new, and return the key.

    Nothing is written unless the file is valid after it. It is the same file then: its owner, its mode, and whoever has
    it mounted stay as they are.

    Raises:
        SettingsError: a name that is taken or no name, a file that cannot be used.
    """
    text = _read(path) if path.exists() else b""
    if name in [holder.name for holder in parse_keys(path, text).values()]:
        raise SettingsError(f"the keys file {path} has a key {name} already: take another name, or remove that one")
    key = PREFIX + secrets.token_urlsafe(32)
    digest = sha256(key.encode()).hexdigest()
    try:
        KeyEntry(name=name, sha256=digest)
    except ValidationError:
        raise SettingsError("a key's name is up to 64 letters, digits, dots, hyphens and underscores") from None
    start = "\n" if text and not text.endswith(b"\n") else ""
    entry = f'{start}[[keys]]\nname = "{name}"\nsha256 = "{digest}"\n\n'.encode()
    try:
        parse_keys(path, text + entry)
    except SettingsError:
        raise SettingsError(
            f"the keys file {path} cannot take a [[keys]] at its end: write its keys that way"
        ) from None
    try:
        _append(path, entry)
    except OSError as error:
        raise SettingsError(f"the keys file {path} cannot be written: {error.strerror}") from None
    return key


def _append(path: Path, entry: bytes) -> None:
    """All of it or nothing."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if file.write(entry) != len(entry):
            file.truncate(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _read(path: Path) -> bytes:
    """Raises:
    SettingsError: a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"the keys file {path} cannot be read: {error.strerror}") from None


def _digests_in(text: bytes) -> set[bytes]:
    """Those that stand outside comments."""
    lines = (line.partition(b"#")[0] for line in text.splitlines())
    return {bytes.fromhex(digest.decode()) for line in lines for digest in DIGEST.findall(line)}


def _stamp(path: Path) -> tuple[int, ...]:
    """Empty where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
