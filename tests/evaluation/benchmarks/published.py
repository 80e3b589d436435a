"""Small files of our own in the formats of published ones, and the usual damage done to them."""

import json
from pathlib import Path


def write_lines(path: Path, records: list[dict], *, end: str = "\n", mark: str = "") -> Path:
    """One JSON object a line, unicode as it is."""
    return write(path, "".join(json.dumps(record, ensure_ascii=False) + end for record in records), mark=mark)


def write(path: Path, text: str, *, mark: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((mark + text).encode())
    return path


BYTE_ORDER_MARK = "\ufeff"
