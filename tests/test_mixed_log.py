"""One log in which every application, gateway and tracer of a house writes: each line has the fate of its shape.

Whatever the tokens and prices, 10 tokens go in and 2 come out, so that a line is only what it is. The aggregates are of
days of their own: beside requests they would make way for them.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from nights import rows_of, write_jsonl

from etl import pipeline
from etl.run_report import Options
from etl.sources import SOURCES

Json = dict[str, Any]
MINI, HAIKU, NOON, AT = "gpt-4o-mini-2024-07-18", "claude-haiku-4-5-20251001", 1_763_726_400, "2025-11-21T12:00:00Z"
CHAT_USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
TOKENS = {"input_tokens": 10, "output_tokens": 2}
COUNTED = {"model": MINI, "num_model_requests": 1}


def chat(request_id: str, **more: Any) -> Json:
    known = {"id": request_id, "object": "chat.completion", "created": NOON, "model": MINI, "usage": CHAT_USAGE}
    return known | more


def wrapped(response: Json, **more: Any) -> Json:
    return {"timestamp": AT, "response": response} | more


def message(request_id: str) -> Json:
    return {"id": request_id, "type": "message", "role": "assistant", "model": HAIKU, "usage": TOKENS}


def bucket(day: int, endpoint: str, **counted: Any) -> Json:
    """A day of organisation usage; day 1 is 2025-12-01."""
    start = 1_764_547_200 + (day - 1) * 86_400
    result = {"object": f"organization.usage.{endpoint}.result"} | counted
    return {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": [result]}


def interval(day: int, **result: Any) -> Json:
    return {
        "starting_at": f"2025-12-{day:02}T00:00:00Z",
        "ending_at": f"2025-12-{day + 1:02}T00:00:00Z",
        "results": [result],
    }


def span(span_id: str, operation: str) -> Json:
    said = {"operation.name": operation, "provider.name": "openai", "response.model": MINI}
    numbers = {"usage.input_tokens": "10", "usage.output_tokens": "2"}
    attributes = [{"key": f"gen_ai.{key}", "value": {"stringValue": value}} for key, value in said.items()]
    attributes += [{"key": f"gen_ai.{key}", "value": {"intValue": value}} for key, value in numbers.items()]
    made = {"traceId": "7a", "spanId": span_id, "startTimeUnixNano": f"{NOON}000000000", "attributes": attributes}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [made]}]}]}


def gemini(request_id: str) -> Json:
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 2, "totalTokenCount": 12}
    return {"responseId": request_id, "createTime": AT, "modelVersion": "gemini-2.5-flash", "usageMetadata": usage}


def spend(request_id: str, **more: Any) -> Json:
    known = {"request_id": request_id, "spend": 0.1, "startTime": "2025-11-21 12:00:00", "model": MINI}
    return known | {"custom_llm_provider": "openai", "cache_hit": "False", "status": "success"} | CHAT_USAGE | more


def payload(request_id: str, **more: Any) -> Json:
    known = {
        "id": request_id,
        "litellm_call_id": f"call-{request_id}",
        "call_type": "acompletion",
        "startTime": NOON + 0.5,
    }
    known |= {"response_cost": 0.1, "model": MINI, "custom_llm_provider": "openai", "cache_hit": False}
    return known | {"status": "success", "metadata": {}} | CHAT_USAGE | more


def helicone(request_id: str, **more: Any) -> Json:
    known = {
        "request_id": request_id,
        "request_created_at": AT,
        "response_status": 200,
        "provider": "OPENAI",
        "model": MINI,
    }
    return known | {"cache_reference_id": None} | CHAT_USAGE | more


def observation(request_id: str, **more: Any) -> Json:
    usage = {"input": 10, "input_cached_tokens": 0, "output": 2, "total": 12}
    known = {
        "id": request_id,
        "traceId": "t",
        "type": "GENERATION",
        "startTime": AT,
        "model": MINI,
        "usageDetails": usage,
    }
    return known | more


def cloudflare(request_id: str, **more: Any) -> Json:
    known = {
        "id": request_id,
        "created_at": AT,
        "provider": "openai",
        "model": MINI,
        "status_code": 200,
        "success": True,
    }
    return known | {"cached": False, "tokens_in": 10, "tokens_out": 2} | more


def portkey(request_id: str, **more: Any) -> Json:
    known = {"id": request_id, "created_at": AT, "is_success": 1, "ai_org": "openai", "ai_model": MINI, "req_units": 10}
    return known | {"res_units": 2, "response_status_code": 200, "cache_status": "MISS"} | more


def generation(request_id: str) -> Json:
    counts = {"native_tokens_prompt": 10, "native_tokens_completion": 2, "native_tokens_cached": 0}
    known = {"id": request_id, "created_at": AT, "model": f"openai/{MINI}", "provider_name": "OpenAI", "is_byok": False}
    return {"data": known | counts}


def bedrock(request_id: str, **more: Any) -> Json:
    known = {"schemaType": "ModelInvocationLog", "timestamp": AT, "requestId": request_id}
    known |= {"modelId": f"anthropic.{HAIKU}-v1:0", "input": {"inputTokenCount": 10}, "output": {"outputTokenCount": 2}}
    return known | more


def batch_line(custom_id: str, response: Json | None, error: Json | None = None) -> Json:
    return {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": response, "error": error}


ACCEPTED: tuple[tuple[str, Json], ...] = (
    ("openai_chat", chat("chatcmpl-1")),
    ("openai_chat", chat("cmpl-2", object="text_completion")),
    ("openai_chat", wrapped(chat("chatcmpl-3"), user="ann", status=200)),
    ("openai_chat", {"time": AT, "response_body": json.dumps(chat("chatcmpl-4"))}),
    ("openai_chat", batch_line("b-1", {"status_code": 200, "body": chat("chatcmpl-5")})),
    ("openai_chat_stream", chat("chatcmpl-6", object="chat.completion.chunk", choices=[])),
    ("azure_openai", chat("chatcmpl-7", prompt_filter_results=[])),
    ("openai_responses", {"id": "resp_1", "object": "response", "created_at": NOON, "model": MINI, "usage": TOKENS}),
    (
        "openai_embeddings",
        wrapped({"object": "list", "data": [], "model": "text-embedding-3-small", "usage": CHAT_USAGE}),
    ),
    ("openai_images", wrapped({"created": NOON, "data": [], "usage": TOKENS}, request_id="i-1", model="gpt-image-1")),
    (
        "openai_transcriptions",
        wrapped({"text": "", "usage": {"type": "duration", "seconds": 9}}, request_id="t-1", model="whisper-1"),
    ),
    (
        "openai_speech",
        wrapped({"type": "speech.audio.done", "usage": TOKENS}, request_id="s-1", model="gpt-4o-mini-tts"),
    ),
    ("openai_moderations", wrapped({"id": "modr-1", "model": "omni-moderation-latest", "results": []})),
    (
        "openai_fine_tuning",
        {"object": "fine_tuning.job", "id": "ftjob-1", "model": MINI, "finished_at": NOON, "trained_tokens": 12}
        | {"status": "succeeded"},
    ),
    ("anthropic_messages", wrapped(message("msg_1"))),
    (
        "anthropic_messages",
        {"timestamp": AT, "custom_id": "a-1", "result": {"type": "succeeded", "message": message("msg_2")}},
    ),
    ("anthropic_stream", {"timestamp": AT, "event": {"type": "message_start", "message": message("msg_3")}}),
    ("claude_code", {"type": "assistant", "sessionId": "s", "timestamp": AT, "message": message("msg_4")}),
    (
        "codex_cli",
        {"timestamp": AT, "type": "event_msg"}
        | {"payload": {"type": "token_count", "model": "gpt-5-codex", "info": {"total_token_usage": TOKENS}}},
    ),
    ("gemini", gemini("g-1")),
    ("gemini", {"key": "k-1", "response": gemini("g-2")}),
    ("gemini", {"status": "", "processed_time": AT, "request": {}, "response": gemini("g-3")}),
    ("otel_genai", span("01", "chat")),
    ("litellm_spend", spend("chatcmpl-8")),
    # What these were answered stands in them, and is part of their call.
    ("litellm_payload", payload("chatcmpl-9", response=chat("chatcmpl-9"))),
    ("helicone", helicone("h-1", response_body=chat("chatcmpl-10"))),
    ("langfuse", observation("l-1", output=chat("chatcmpl-11"))),
    ("cloudflare_gateway", cloudflare("c-1", response=chat("chatcmpl-12"))),
    ("portkey", portkey("p-1", response={"body": chat("chatcmpl-13")})),
    ("openrouter_generation", generation("gen-1")),
    ("bedrock", bedrock("r-1")),
    ("bedrock_batch", {"timestamp": AT, "recordId": "R-1", "modelInput": {}, "modelOutput": message("msg_5")}),
    ("plain", {"occurred_at": AT, "request_id": "own-1", "model": MINI, "input_tokens": 10, "output_tokens": 2}),
    ("openai_usage", bucket(1, "completions", batch=False, service_tier="default", **COUNTED, **TOKENS)),
    ("openai_usage_embeddings", bucket(2, "embeddings", input_tokens=10, **COUNTED)),
    ("openai_usage_web_searches", bucket(3, "web_searches", num_requests=1, **COUNTED)),
    (
        "openai_batches",
        {"id": "batch_1", "object": "batch", "model": MINI, "status": "completed", "in_progress_at": NOON + 13 * 86_400}
        | {"usage": TOKENS, "request_counts": {"completed": 1}},
    ),
    (
        "openai_legacy_usage",
        {
            "object": "list",
            "data": [
                {"aggregation_timestamp": NOON + 14 * 86_400, "n_requests": 1, "snapshot_id": MINI}
                | {"n_context_tokens_total": 10, "n_generated_tokens_total": 2}
            ],
            "ft_data": [],
            "dalle_api_data": [],
        },
    ),
    ("anthropic_usage", interval(6, uncached_input_tokens=10, output_tokens=2, model=HAIKU, service_tier="standard")),
)

EXCLUDED: tuple[tuple[str, Json], ...] = (
    ("gateway_cache_hit", spend("chatcmpl-20_cache_hit1", cache_hit="True")),
    ("gateway_cache_hit", payload("chatcmpl-21", cache_hit=True, response=chat("chatcmpl-21"))),
    ("gateway_cache_hit", helicone("h-2", cache_reference_id="h-1", response_body=chat("chatcmpl-10"))),
    ("gateway_cache_hit", cloudflare("c-2", cached=True)),
    ("gateway_cache_hit", portkey("p-2", cache_status="HIT", response={"body": chat("chatcmpl-13")})),
    ("gateway_cache_hit", portkey("p-3", cache_status="SEMANTIC HIT")),
    # Its columns are chosen at export: without most of them it is no wrapper of one's own all the same.
    ("gateway_cache_hit", {"req_units": 10, "cache_status": "HIT", "response": {"body": chat("chatcmpl-13")}}),
    ("http_error", wrapped({"detail": "slow down"}, status=429)),
    ("http_error", batch_line("b-2", {"status_code": 400, "body": {"error": {"code": "invalid"}}})),
    ("http_error", helicone("h-3", response_status=500)),
    ("http_error", cloudflare("c-3", status_code=429, success=False)),
    ("http_error", portkey("p-4", response_status_code=429, is_success=0)),
    ("error_response", {"error": {"message": "no"}}),
    ("error_response", {"type": "error", "error": {"type": "overloaded_error"}}),
    ("error_response", spend("call-5", status="failure")),
    ("error_response", payload("call-6", status="failure")),
    ("error_response", observation("l-2", level="ERROR", usageDetails={})),
    ("error_response", bedrock("r-2", errorCode="ThrottlingException", output=None)),
    ("batch_failed", batch_line("b-3", None, {"code": "batch_expired"})),
    ("batch_failed", {"custom_id": "a-2", "result": {"type": "errored", "error": {}}}),
    ("batch_failed", {"key": "k-2", "error": {"code": 400}}),
    ("batch_failed", {"status": "Bad Request", "processed_time": AT, "request": {}, "response": {}}),
    ("batch_failed", {"recordId": "R-2", "modelInput": {}, "error": {"errorCode": 400}}),
    ("not_completed", {"id": "resp_2", "object": "response", "created_at": NOON, "model": MINI, "status": "queued"}),
    ("not_completed", helicone("h-4", response_status=-3)),
    ("chunk_without_usage", chat("chatcmpl-6", object="chat.completion.chunk", usage=None)),
    ("not_usage", {"type": "response.output_text.delta", "delta": "a"}),
    ("not_usage", {"type": "content_block_delta", "delta": {}}),
    ("not_usage", {"type": "user", "sessionId": "s", "message": {"role": "user"}}),
    ("not_usage", observation("l-3", type="SPAN", usageDetails={})),
    ("parent_span", observation("l-4", type="AGENT")),
    ("parent_span", span("02", "invoke_agent")),
    (
        "synthetic",
        {
            "type": "assistant",
            "sessionId": "s",
            "timestamp": AT,
            "message": message("msg_6") | {"model": "<synthetic>"},
        },
    ),
    ("empty_bucket", {"object": "bucket", "start_time": NOON, "end_time": NOON + 60, "results": []}),
    ("counted_by_requests", bucket(-9, "completions", batch=False, service_tier="default", **COUNTED, **TOKENS)),
)

REJECTED: tuple[tuple[str, Json], ...] = (
    ("batch_input", {"custom_id": "b-4", "method": "POST", "url": "/v1/chat/completions", "body": {"model": MINI}}),
    ("missing_timestamp", message("msg_7")),
    ("missing_timestamp", {"recordId": "R-3", "modelInput": {}, "modelOutput": message("msg_8")}),
    ("missing_usage", chat("chatcmpl-30", usage=None)),
    ("missing_count", cloudflare("c-4", tokens_in=None)),
    ("missing_model", observation("l-5", model=None)),
    # 5 tokens of a kind that nobody here knows: 10 + 2 are not 17.
    ("invalid_field", observation("l-6", usageDetails={"input": 10, "output": 2, "input_smells": 5, "total": 17})),
    (
        "parts_exceed_whole",
        payload("chatcmpl-31", metadata={"usage_object": {"prompt_tokens_details": {"cached_tokens": 11}}}),
    ),
    (
        "statement_record",
        bucket(7, "x") | {"results": [{"object": "organization.costs.result", "amount": {"value": 1}}]},
    ),
    ("statement_record", interval(8, amount="120.0000", currency="USD", cost_type="tokens", model=HAIKU)),
    ("no_meter", bucket(9, "vector_stores", usage_bytes=1)),
    ("no_tokens", {"event": "ShoeboxCallResult", "category": "RequestResponse", "properties": "{}"}),
    ("unknown_shape", {"call": "c-1", "at": AT, "tokens": 12}),
)

TABLES = {
    "openai_usage": "start_time,end_time,start_time_iso,end_time_iso,model,batch,service_tier,num_model_requests,"
    f"input_tokens,output_tokens,input_uncached_tokens\n1765497600,1765584000,x,x,{MINI},False,,1.0,10.0,2.0,10.0",
    "litellm_spend": f"request_id,spend,startTime,model,prompt_tokens,completion_tokens\nspend-40,0,{AT},{MINI},10,2",
    "azure_apim": "TimeGenerated [UTC],CorrelationId,DeploymentName,ModelName,PromptTokens,CompletionTokens\n"
    f'"11/21/2025, 8:00:01.123 AM",c-1,prod,{MINI},10,2',
    "helicone": "response_id,response_status,request_created_at,model,prompt_tokens,completion_tokens,latency\n"
    f"h-40,200,2025-11-21 12:00:00,{MINI},10,2,5",
    "openrouter_activity": "generation_id,created_at,model_permaslug,provider_name,variant,tokens_prompt,"
    f"tokens_completion,tokens_cached\ngen-40,2025-11-21 12:00:00.5,openai/{MINI},OpenAI,standard,10,2,0",
    "openrouter_daily": "Date,Slug,Usage,BYOK Usage,Requests,Prompt Tokens,Completion Tokens,Reasoning Tokens\n"
    f'"2025-12-13 00:00:00","openai/{MINI}","0","0","1","10","2","0"',
    "anthropic_console": "usage_date_utc,model_version,usage_type,usage_input_tokens_no_cache,usage_output_tokens\n"
    f"2025-12-14,{HAIKU},standard,10,2",
    "plain": f"occurred_at,request_id,model,input_tokens,output_tokens\n{AT},own-40,{MINI},10,2",
}
REFUSED = {
    "statement": "start_time,end_time,start_time_iso,end_time_iso,amount_value,line_item\n1,2,x,x,1.0,x",
    "statement ": "usage_date_utc,model,token_type,cost_usd\n2025-11-21,Claude Haiku 4.5,output,0.30",
    "unknown_format": "when,what,how_much\n2025-11-21,gpt,12",
}


def test_every_line_of_a_mixed_log_has_the_fate_of_its_shape(tmp_path: Path) -> None:
    lines = [record for _, record in (*ACCEPTED, *EXCLUDED, *REJECTED)]
    log = write_jsonl(tmp_path / "mixed.jsonl", lines)

    report = pipeline.run([str(log)], tmp_path / "warehouse", Options())

    accepted = dict(rows_of(tmp_path / "warehouse", "usage", "line_number", "source"))
    assert accepted == {number: source for number, (source, _) in enumerate(ACCEPTED, 1)}
    rejected = dict(rows_of(tmp_path / "warehouse", "rejects", "line_number", "reason"))
    first = len(ACCEPTED) + len(EXCLUDED) + 1
    assert rejected == {number: reason for number, (reason, _) in enumerate(REJECTED, first)}
    [read] = report.inputs
    excluded = {reason: number for (fate, reason), number in read.reasons.items() if fate == "excluded"}
    assert excluded == Counter(reason for reason, _ in EXCLUDED)
    assert (read.counts.read, read.counts.duplicate, read.counts.conflict) == (len(lines), 0, 0)


def test_every_excluded_line_is_excluded_for_its_own_reason(tmp_path: Path) -> None:
    """Alone as in company; but a day's aggregate makes way only for requests."""
    alone = [(reason, record) for reason, record in EXCLUDED if reason != "counted_by_requests"]
    for number, (_, record) in enumerate(alone):
        write_jsonl(tmp_path / f"logs/{number}.jsonl", [record])

    report = pipeline.run([str(tmp_path / "logs")], tmp_path / "warehouse", Options())

    found = {int(Path(one.name).stem): list(one.reasons) for one in report.inputs}
    assert found == {number: [("excluded", reason)] for number, (reason, _) in enumerate(alone)}


def test_every_table_is_known_by_its_header_and_a_bill_is_no_usage(tmp_path: Path) -> None:
    for name, text in (TABLES | REFUSED).items():
        (tmp_path / f"{name}.csv").write_text(f"{text}\n", encoding="utf-8")

    report = pipeline.run([str(tmp_path)], tmp_path / "warehouse", Options())

    assert sorted(source for (source,) in rows_of(tmp_path / "warehouse", "usage", "source")) == sorted(TABLES)
    refused = {Path(one.name).stem: one.refusal[0] for one in report.inputs if one.refusal}
    assert refused == {name: name.strip() for name in REFUSED}


def test_every_source_is_among_them() -> None:
    """But for endpoints of organisation usage, which differ in a word."""
    met = {source for source, _ in ACCEPTED} | TABLES.keys()
    assert {source.name for source in SOURCES if not source.name.startswith("openai_usage_")} <= met
