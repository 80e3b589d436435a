"""JSON in and out: strict where the standard library is lenient. Knows no schema."""

import json
import math
import re
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 32
MAX_PARTS: Final = 20_000  # names and values
PART: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]|[^\s\[\]{}",:]++', re.DOTALL)


class JsonError(ValueError):
    """Bytes that are not strict JSON. The message has the place, never the content."""


class ComplexityError(JsonError):
    """Bytes that would become more objects than any request has use for."""


def to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def check_complexity(raw: bytes) -> None:
    """Look at brackets and count before anything is built: the parser holds up all threads until it has built it all.

    Raises:
        ComplexityError: deeper, or of more names and values, than is allowed.
    """
    depth = num_parts = 0
    for part in PART.finditer(raw):
        if raw[part.start()] in b"]}":
            depth -= 1
            if depth < 0:
                return  # no JSON: the parser has the words for it
            continue
        num_parts += 1
        if num_parts > MAX_PARTS:
            raise ComplexityError(f"the body has more than {MAX_PARTS:,} names and values: send fewer")
        if raw[part.start()] in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ComplexityError(f"the body is nested more than {MAX_DEPTH} levels deep: send it flatter")


def from_json(raw: bytes) -> Any:
    """UTF-8 JSON without NaN, infinities (1e999 is one) and nesting beyond the interpreter's depth.

    Raises:
        JsonError: anything else.
    """
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
        if b"\\u" in raw:  # the only way to write half of a UTF-16 pair
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise JsonError("the body has a lone surrogate, half of a UTF-16 pair: send whole characters") from None
    except UnicodeDecodeError as error:
        raise JsonError(f"the body is not UTF-8: byte {error.start} starts no character") from None
    except json.JSONDecodeError as error:
        raise JsonError(
            f"the body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise JsonError("the body is nested too deeply") from None
    except JsonError:
        raise
    except ValueError:  # an integer of thousands of digits
        raise JsonError("the body has a number that is too long") from None


def _refuse_constant(name: str) -> NoReturn:
    raise JsonError(f"the body is not valid JSON: {name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise JsonError("the body has a number that is too large")
    return number
