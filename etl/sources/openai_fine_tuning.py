"""OpenAI fine-tuning jobs: what they trained.

Semantics (the `openai` SDK's `fine_tuning_job.py`): `trained_tokens` is "the total number of billable tokens
processed", tokens times epochs, and null while the job runs; `model` is the base model. No log of requests and no
usage report holds them, so they stand beside both.
"""

from __future__ import annotations

from etl.sources.base import Source, count, reported, said
from etl.sources.marks import Marks

_UNDER_WAY = ("validating_files", "queued", "running", "paused", "failed", "cancelled")

SOURCE = Source(
    name="openai_fine_tuning",
    title="OpenAI fine-tuning job, one JSON object or a list of them",
    example='{"object":"fine_tuning.job","id":"ftjob-1","model":"gpt-4o-mini-2024-07-18","created_at":1763700000,'
    '"finished_at":1763707200,"fine_tuned_model":"ft:gpt-4o-mini-2024-07-18:acme::9xYz","status":"succeeded",'
    '"trained_tokens":5768}',
    marks=Marks(where={"object": ("fine_tuning.job",)}),
    texts={"request_id": "id", "model": "model", "account_id": "organization_id"},
    instant=(("finished_at", "created_at"), "epoch"),
    counts={"trained": "trained_tokens"},
    required=frozenset({"trained"}),
    literals={"status": "status"},
    quantities={"training_tokens": count("trained")},
    excluded={"not_completed": ~reported("trained") & said("status").is_in(_UNDER_WAY)},
    is_apart=True,
)
