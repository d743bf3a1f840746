"""Google Gemini and Vertex AI `generateContent` responses, whole or as stream chunks, in camelCase or snake_case.

Token semantics (`GenerateContentResponseUsageMetadata` in the `google-genai` SDK's types): `promptTokenCount` includes
cached tokens; `candidatesTokenCount` is without thoughts, which are output beside it; tool-use prompts are input beside
the prompt; details split each by modality; a count of zero is left out. Each chunk of a stream repeats the usage so
far, so the chunks of a `responseId` are states of one request. Storing a cache is billed by the hour, not here.
"""

from __future__ import annotations

from etl.sources.base import Source, count, text
from etl.sources.marks import Marks
from etl.sources.paths import in_both_cases
from etl.sources.providers import without_vendor

_USAGE = in_both_cases("usageMetadata")
_MEDIA_CACHED = count("audio_cached") + count("image_cached") + count("video_cached")
_MEDIA = count("audio") + count("image") + count("video")
_MEDIA_OUTPUT = count("audio_output") + count("image_output") + count("video_output")
_COUNTS = {
    "prompt": "promptTokenCount",
    "cached": "cachedContentTokenCount",
    "candidates": "candidatesTokenCount",
    "reasoning": "thoughtsTokenCount",
    "tool_use": "toolUsePromptTokenCount",
    "audio": "promptTokensDetails[modality=AUDIO].tokenCount",
    "image": "promptTokensDetails[modality=IMAGE].tokenCount",
    "video": "promptTokensDetails[modality=VIDEO].tokenCount",
    "audio_cached": "cacheTokensDetails[modality=AUDIO].tokenCount",
    "image_cached": "cacheTokensDetails[modality=IMAGE].tokenCount",
    "video_cached": "cacheTokensDetails[modality=VIDEO].tokenCount",
    "audio_output": "candidatesTokensDetails[modality=AUDIO].tokenCount",
    "image_output": "candidatesTokensDetails[modality=IMAGE].tokenCount",
    "video_output": "candidatesTokensDetails[modality=VIDEO].tokenCount",
}

SOURCE = Source(
    name="gemini",
    title="Google Gemini or Vertex AI generateContent response, one JSON object",
    example='{"responseId":"r-0002","createTime":"2025-11-21T10:00:00.123456Z","modelVersion":"gemini-2.5-flash",'
    '"usageMetadata":{"promptTokenCount":5000,"cachedContentTokenCount":4096,"candidatesTokenCount":200,'
    '"thoughtsTokenCount":350,"totalTokenCount":5550,"trafficType":"ON_DEMAND"}}',
    provider="google",
    marks=Marks(any_of=_USAGE),
    texts={
        "request_id": in_both_cases("responseId"),
        "model": in_both_cases("modelVersion"),
        "tier": (*in_both_cases("usageMetadata.trafficType"), *in_both_cases("usageMetadata.serviceTier")),
    },
    instant=(in_both_cases("createTime"), "iso"),
    usage=_USAGE,
    counts={name: in_both_cases(f"usageMetadata.{path}") for name, path in _COUNTS.items()},
    required=frozenset({"prompt"}),
    quantities={
        "input_uncached_tokens": count("prompt") - count("cached") - (_MEDIA - _MEDIA_CACHED) + count("tool_use"),
        "input_cached_tokens": count("cached") - _MEDIA_CACHED,
        "audio_input_uncached_tokens": count("audio") - count("audio_cached"),
        "audio_input_cached_tokens": count("audio_cached"),
        "image_input_uncached_tokens": count("image") - count("image_cached"),
        "image_input_cached_tokens": count("image_cached"),
        "video_input_uncached_tokens": count("video") - count("video_cached"),
        "video_input_cached_tokens": count("video_cached"),
        "output_tokens": count("candidates") + count("reasoning") - _MEDIA_OUTPUT,
        "audio_output_tokens": count("audio_output"),
        "image_output_tokens": count("image_output"),
        "video_output_tokens": count("video_output"),
    },
    exceeding=(count("prompt") < count("cached"),),
    model=without_vendor(text("model")),
    is_state=True,
    ignored=frozenset({"totalTokenCount", "total_token_count"}),
)
