"""Costroll: exported LLM usage logs become daily costs that finance can sign."""

__version__ = "0.1.0"
