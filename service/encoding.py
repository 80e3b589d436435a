"""JSON in and out: strict where the standard library is lenient. Knows no schema."""

import json
import math
from typing import Any, NoReturn


class JsonError(ValueError):
    """Bytes that are not strict JSON. The message has the place, never the content."""


def to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


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
