"""The words that gateways and tracers use for a provider, and the provider in the rate table that each of them is.

Sources: OpenTelemetry's registry of `gen_ai.provider.name` (older: `gen_ai.system`); LiteLLM's `custom_llm_provider`;
the logs of Helicone, Cloudflare, Portkey and OpenRouter.
"""

from __future__ import annotations

import polars as pl

PROVIDERS = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "azure": "azure",
    "azure_openai": "azure",
    "azure-openai": "azure",
    "azure_ai": "azure",
    "az.ai.openai": "azure",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "anthropic": "anthropic",
    "google": "google",
    "google ai studio": "google",
    "google-ai-studio": "google",
    "google-vertex-ai": "google",
    "google vertex": "google",
    "gemini": "google",
    "vertex_ai": "google",
    "vertex-ai": "google",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google",
    "bedrock": "bedrock",
    "aws-bedrock": "bedrock",
    "aws.bedrock": "bedrock",
    "amazon bedrock": "bedrock",
}


def provider_named(raw: pl.Expr) -> pl.Expr:
    """The provider that a word means; an unknown word stands in small letters, finds no rate, and shows."""
    return raw.str.to_lowercase().replace(PROVIDERS)


def without_vendor(model: pl.Expr) -> pl.Expr:
    """A model's name without what gateways put before it: `openai/gpt-4o-mini`, `models/gemini-2.5-flash`."""
    return model.str.replace(r"^.*/", "")


def vendor_of(model: pl.Expr) -> pl.Expr:
    """Whose name a model has, for logs that name no provider: `openai/gpt-4o-mini`, `claude-haiku-4-5`, `gpt-4o-mini`.

    Only an exact name of that provider's price list finds a rate, so a name that is its own by chance shows.
    """
    return (
        pl.when(model.str.contains("claude-"))
        .then(pl.lit("anthropic"))
        .when(model.str.contains("gemini-"))
        .then(pl.lit("google"))
        .otherwise(provider_named(model.str.extract(r"^([^/]+)/")).fill_null("openai"))
    )
