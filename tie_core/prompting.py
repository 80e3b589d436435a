"""A request's prompt or messages as the ids that one member reads before its canvas's generated part.

Knows no model. Each member makes its own: chat members by their own template, everyone in their own tokens.
"""

from collections.abc import Sequence

from tie_core.chat_template import Message, check_text
from tie_core.errors import PromptError
from tie_core.vocabulary import Vocabulary

__all__ = ["Message", "prompt_ids"]


def prompt_ids(
    vocabulary: Vocabulary, prompt: str | None = None, messages: Sequence[Message] | None = None
) -> tuple[int, ...]:
    """A raw prompt as plain text (behind BOS if the tokenizer writes one), or messages in the chat template.

    Raises:
        PromptError: not exactly one of both, no chat template, or input that is no text.
    """
    if (prompt is None) == (messages is None):
        raise PromptError("prompt", "give exactly one of `prompt` and `messages`")
    if messages is not None:
        return vocabulary.render_chat(messages)
    if not isinstance(prompt, str):
        raise PromptError("prompt", "prompt is a string")
    check_text(prompt, "prompt")
    return vocabulary.prompt_prefix + vocabulary.encode(prompt)
