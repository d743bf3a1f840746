"""How many tokens a request and its answer are, by their text; None where the log does not hold all that is billed.

Sources of the rules: OpenAI's cookbook "How to count tokens with tiktoken" (three tokens around each message, one for a
name, three before the answer) and guide "Images and vision". What is only seen in hidden form (reasoning, audio, files,
an earlier conversation) cannot be counted: such a record stays without usage. Definitions of tools and schemas are
counted as their JSON text, which comes near what is billed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from etl.estimates.images import image_tokens
from etl.json_values import Literal
from etl.vocabularies import Vocabularies

PER_MESSAGE, PER_NAME, BEFORE_ANSWER = 3, 1, 3
# Reasoning is billed as output and never logged, nor is what a search reads; audio is no text.
_HIDING = re.compile(r"o[0-9]|gpt-5(?!.*chat)|gpt-[6-9]|.*(codex|computer|search|audio|realtime|transcribe|tts|image)")
# What a request to the Responses API only names.
_ELSEWHERE = ("previous_response_id", "conversation", "prompt")


class NotCountable(Exception):
    """What is billed is not all there."""


class Counting:
    """Counts what one model is billed for.

    Args:
        vocabularies: where to look words up.
        model: the served model.

    Raises:
        NotCountable: the model's tokens cannot be counted from text.
    """

    def __init__(self, vocabularies: Vocabularies, model: object) -> None:
        if not isinstance(model, str):
            raise NotCountable
        base = model.removeprefix("ft:").split(":")[0]
        name = None if _HIDING.match(base) else vocabularies.name_for(base)
        if name is None:
            raise NotCountable
        self._vocabularies, self._name, self._model = vocabularies, name, base

    def text(self, value: Any) -> int:
        """The tokens of a text; none where there is none."""
        if value is None:
            return 0
        if not isinstance(value, str) or isinstance(value, Literal):
            raise NotCountable
        return self._vocabularies.count(self._name, value)

    def chat_request(self, request: Any) -> int:
        """Of the request of a chat completion, or of a legacy completion."""
        if isinstance(request.get("messages"), list):
            total = sum(map(self._message, request["messages"])) + BEFORE_ANSWER
            schema = _member(request.get("response_format"), "json_schema")
            return total + sum(map(self._definition, (request.get("tools"), request.get("functions"), schema)))
        prompt = request.get("prompt")
        return sum(map(self.text, prompt)) if isinstance(prompt, list) and prompt else self._given(prompt)

    def chat_answer(self, answer: Any) -> int:
        """Of a chat completion, or of a legacy completion."""
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices:
            raise NotCountable
        return sum(map(self._choice, choices))

    def responses_request(self, request: Any) -> int:
        """Of a request to the Responses API."""
        given = request.get("input")
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        if not isinstance(items, list) or not items or any(request.get(key) is not None for key in _ELSEWHERE):
            raise NotCountable
        total = sum(map(self._item, items)) + BEFORE_ANSWER
        if request.get("instructions") is not None:
            total += self._message({"role": "system", "content": request["instructions"]})
        schema = _member(_member(request.get("text"), "format"), "schema")
        return total + sum(map(self._definition, (request.get("tools"), schema)))

    def responses_answer(self, answer: Any) -> int:
        """Of a response object."""
        output = answer.get("output")
        if not isinstance(output, list) or not output:
            raise NotCountable
        return sum(self._call(one) if _kind(one) == "function_call" else self._output(one) for one in output)

    def _given(self, value: Any) -> int:
        if value is None:
            raise NotCountable
        return self.text(value)

    def _message(self, message: Any) -> int:
        if not isinstance(message, dict) or message.get("audio") is not None:
            raise NotCountable
        named = PER_NAME + self.text(message["name"]) if message.get("name") is not None else 0
        return PER_MESSAGE + self.text(message.get("role")) + named + self._content(message) + self._calls(message)

    def _content(self, message: Any) -> int:
        content = message.get("content")
        parts = sum(map(self._part, content)) if isinstance(content, list) else self.text(content)
        return parts + self.text(message.get("refusal"))

    def _part(self, part: Any) -> int:
        kind = _kind(part)
        if kind in ("text", "input_text", "output_text"):
            return self._given(part.get("text"))
        if kind == "refusal":
            return self._given(part.get("refusal"))
        tokens = None
        if kind == "image_url" and isinstance(part.get("image_url"), dict):
            tokens = image_tokens(self._model, part["image_url"].get("url"), part["image_url"].get("detail"))
        elif kind == "input_image":
            tokens = image_tokens(self._model, part.get("image_url"), part.get("detail"))
        if tokens is None:
            raise NotCountable
        return tokens

    def _calls(self, message: Any) -> int:
        calls = message.get("tool_calls") or []
        functions = [one.get("function") for one in _objects(calls)] + [message.get("function_call")]
        return sum(self._call(one) for one in functions if one is not None)

    def _call(self, function: Any) -> int:
        if not isinstance(function, dict):
            raise NotCountable
        return self.text(function.get("name")) + self.text(function.get("arguments"))

    def _choice(self, choice: Any) -> int:
        if not isinstance(choice, dict):
            raise NotCountable
        message = choice.get("message")
        if not isinstance(message, dict):
            return self._given(choice.get("text"))
        if message.get("audio") is not None or not _SAYS.intersection(
            key for key in message if message[key] is not None
        ):
            raise NotCountable
        return self._content(message) + self._calls(message)

    def _item(self, item: Any) -> int:
        if _kind(item) == "function_call":
            return PER_MESSAGE + self._call(item)
        if _kind(item) == "function_call_output":
            return PER_MESSAGE + self._given(item.get("output"))
        if _kind(item) not in ("message", None):
            raise NotCountable
        return self._message(item)

    def _output(self, item: Any) -> int:
        if _kind(item) != "message" or not isinstance(item.get("content"), list):
            raise NotCountable
        return self._content(item)

    def _definition(self, value: Any) -> int:
        if value in (None, [], {}):
            return 0
        return self.text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


_SAYS = {"content", "refusal", "tool_calls", "function_call"}


def _kind(value: Any) -> object:
    if not isinstance(value, dict):
        raise NotCountable
    return value.get("type")


def _member(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _objects(values: Any) -> Iterable[Any]:
    if not isinstance(values, Sequence) or not all(isinstance(one, dict) for one in values):
        raise NotCountable
    return values
