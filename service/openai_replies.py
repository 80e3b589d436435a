"""What the OpenAI routes answer with: one object, or chunks whose deltas in a row are the text. Knows no transport."""

from dataclasses import asdict
from typing import Any, Final

from service.encoding import to_json
from service.event_log import Delivered
from service.openai_schemas import CHUNKS, OBJECTS, REASONS, Asked
from tie_core.events import Completed

READ: Final = ("tie.created", "tie.round", "tie.completed", "tie.error")
"""The events that say something to a client that knows no TIE."""
DONE: Final = b"data: [DONE]\n\n"


def reply(asked: Asked, completed: Completed, created: int) -> dict[str, Any]:
    """The whole answer. `tie` is the native route's object, with the parts of the text."""
    choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": REASONS[completed.finish_reason]}
    if asked.kind == "chat":
        choice["message"] = {"role": "assistant", "content": completed.text, "refusal": None}
    else:
        choice["text"] = completed.text
    return {
        "id": completed.id,
        "object": OBJECTS[asked.kind],
        "created": created,
        "model": asked.model,
        "choices": [choice],
        "usage": asdict(completed.usage),
        "tie": asdict(completed.tie) | {"reasoning": completed.reasoning, "answer": completed.answer},
        "timings": asdict(completed.timings),
    }


class Chunks:
    """Turns a run's events, one after the other, into the chunks of a stream.

    Text is sent once it is settled. While diffusing, every chunk has the whole text of the moment instead.
    """

    def __init__(self, asked: Asked, request_id: str, created: int) -> None:
        self._asked = asked
        self._head = {
            "id": request_id,
            "object": CHUNKS[asked.kind],
            "created": created,
            "model": asked.model,
        }
        self._draft = Draft()
        self._sent = ""

    def __call__(self, delivered: Delivered) -> bytes:
        """The chunks of one event, as server-sent events without a name."""
        data = delivered.data if delivered.type in READ else {}
        if delivered.type == "tie.error":
            return _message(to_json({"error": data["error"]}))
        if self._asked.is_diffusing:
            self._draft.apply(data)
        chunks = b""
        if delivered.type == "tie.created" and self._asked.kind == "chat":
            chunks += self._chunk({"role": "assistant", "content": ""})
        chunks += self._chunk(self._delta(""), tie=delivered.json)
        if delivered.type == "tie.round":
            chunks += self._text(data["settled"])
        if delivered.type == "tie.completed":
            chunks += self._end(data)
        return chunks

    def _end(self, data: dict[str, Any]) -> bytes:
        chunks = self._text(data["text"][len(self._sent) :])
        chunks += self._chunk(self._delta(""), finish_reason=REASONS[data["finish_reason"]])
        if self._asked.includes_usage:
            chunks += self._chunk(self._delta(""), usage=data["usage"])
        return chunks + DONE

    def _text(self, text: str) -> bytes:
        self._sent += text
        return self._chunk(self._delta(text)) if text and not self._asked.is_diffusing else b""

    def _delta(self, text: str) -> dict[str, Any]:
        """Without text an empty delta, or the text of the moment."""
        text = self._draft.text if self._asked.is_diffusing else text
        return {"content": text} if text or self._asked.is_diffusing else {}

    def _chunk(
        self,
        delta: dict[str, Any],
        finish_reason: str | None = None,
        usage: dict[str, Any] | None = None,
        tie: bytes | None = None,
    ) -> bytes:
        """`tie` is JSON already."""
        choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": finish_reason}
        if self._asked.kind == "chat":
            choice["delta"] = delta
        else:
            choice["text"] = delta.get("content", "")
        chunk = {**self._head, "choices": [choice]} | ({"usage": usage} if usage else {})
        return _message(to_json(chunk) if tie is None else to_json(chunk)[:-1] + b',"tie":' + tie + b"}")


class Draft:
    """The whole text of the moment: what the leader's canvas has of the reasoning, and what the answer would be now."""

    def __init__(self) -> None:
        self.text = ""
        self._num_reasoning = 0
        self._suffix = ""
        self._has_answer = True
        self._shown: dict[int, str] = {}

    def apply(self, data: dict[str, Any]) -> None:
        """Take an event's data in."""
        match data.get("type"):
            case "tie.created":
                self._num_reasoning, self._has_answer = data["canvas"]["reasoning"], data["canvas"]["answer"] > 0
                self._suffix = data["options"]["suffix"]
            case "tie.round":
                for position in data["unset"]:
                    self._shown.pop(position, None)
                self._shown |= {position: text for position, text, _ in data["set"]}
                self.text = self._guess(data["answer_probe"]["text"])
            case "tie.completed":
                self.text = data["text"]

    def _guess(self, answer: str) -> str:
        if not self._has_answer:
            return answer
        reasoning = [text for position, text in sorted(self._shown.items()) if position < self._num_reasoning]
        return "".join(reasoning) + self._suffix + answer


def _message(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
