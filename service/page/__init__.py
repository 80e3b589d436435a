"""The playground at `/`: static files of this package, and the headers that they are served with. No build step."""

from functools import cache
from importlib.resources import files
from typing import Final

INDEX: Final = "index.html"
FOLDER: Final = "/page/"
TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing but our own files: no inline script, no inline style, no markup made from text, no other origin."""
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


@cache
def assets() -> dict[str, bytes]:
    """Every file of the page by its name."""
    found = (file for file in files(__name__).iterdir() if file.name.rpartition(".")[2] in TYPES)
    return {file.name: file.read_bytes() for file in found}


def media_type(name: str) -> str:
    return TYPES[name.rpartition(".")[2]]


def is_of_page(path: str) -> bool:
    """Whether a path is one of the page's own: the same for everybody, and silent about this server."""
    return path == "/" or (path.startswith(FOLDER) and path.removeprefix(FOLDER) in assets())
