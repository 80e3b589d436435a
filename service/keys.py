"""API keys: a file of names and hashes, read again when it changes. A key itself is kept nowhere.

Keys are 256 random bits, so a plain SHA-256 is enough: there is nothing to guess that a slow hash would slow down.
"""

import hmac
import os
import secrets
import time
import tomllib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, StringConstraints, ValidationError
from structlog.typing import FilteringBoundLogger

from service.quotas import Holder, Quota
from service.settings import Count, Name, Section, SettingsError

LOOK_SECONDS: Final = 1.0  # between two looks at the file
PREFIX: Final = "tie-"
MAX_BYTES: Final = 1_000_000


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
    """The whole file. One without keys would lock everybody out, so it is no file of keys."""

    keys: list[KeyEntry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class _Key:
    digest: bytes
    holder: Holder


class Keys:
    """The keys of a file. The event loop's, but for `expire`, which a signal handler may call."""

    def __init__(self, path: Path, log: FilteringBoundLogger) -> None:
        """Raises:
        SettingsError: a file that cannot be used.
        """
        self._path = path
        self._log = log
        self._stamp = _stamp(path)
        self._keys = read_keys(path)
        self._looked = time.monotonic()

    def find(self, key: str) -> Holder | None:
        """Whose key it is. Compared with all of them, whichever fits: the time tells nothing."""
        self._refresh()
        digest, found = sha256(key.encode("utf-8", "surrogateescape")).digest(), None
        for known in self._keys:
            if hmac.compare_digest(known.digest, digest):
                found = known.holder
        return found

    def expire(self) -> None:
        """Read the file again at the next request, changed or not."""
        self._stamp, self._looked = None, -LOOK_SECONDS

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = read_keys(self._path)
        except SettingsError as error:
            self._log.error("keys not reloaded: the old ones stay", error=str(error))
        else:
            self._log.info("keys reloaded", names=[key.holder.name for key in self._keys])


def read_keys(path: Path) -> tuple[_Key, ...]:
    """Raises:
    SettingsError: a file that cannot be used; says why, without what it holds.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise SettingsError(f"the keys file {path} exceeds {MAX_BYTES:,} bytes")
        entries = KeysFile.model_validate(tomllib.loads(text.decode("utf-8"))).keys
    except OSError as error:
        raise SettingsError(f"the keys file {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in detail["loc"])
        raise SettingsError(f"the keys file {path} is not valid at {where}: {detail['msg']}") from None
    except ValueError:
        raise SettingsError(f"the keys file {path} is not valid TOML") from None
    for what in ("name", "sha256"):
        if len({getattr(entry, what) for entry in entries}) < len(entries):
            raise SettingsError(f"the keys file {path} has one {what} twice")
    return tuple(_Key(bytes.fromhex(entry.sha256), entry.holder) for entry in entries)


def add_key(path: Path, name: str) -> str:
    """Write a new key's hash to the end of the file, which may be new, and return the key.

    Raises:
        SettingsError: a name that is taken or no name, a file that cannot be used.
    """
    if path.exists() and name in [known.holder.name for known in read_keys(path)]:
        raise SettingsError(f"the keys file {path} has a key {name} already: take another name, or remove that one")
    key = PREFIX + secrets.token_urlsafe(32)
    digest = sha256(key.encode()).hexdigest()
    try:
        KeyEntry(name=name, sha256=digest)
    except ValidationError:
        raise SettingsError("a key's name is up to 64 letters, digits, dots, hyphens and underscores") from None
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a") as file:
            file.write(f'[[keys]]\nname = "{name}"\nsha256 = "{digest}"\n\n')
    except OSError as error:
        raise SettingsError(f"the keys file {path} cannot be written: {error.strerror}") from None
    return key


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
