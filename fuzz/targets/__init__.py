"""The targets by name. A module here holds one of them; docs/fuzzing.md says what each promises."""

from __future__ import annotations

from fuzz.target import Target
from fuzz.targets import csv_rows, documents, framing, json_lines, manifests, rate_cards, settings, statements, streams

TARGETS: dict[str, Target] = {
    "framing": framing.TARGET,
    "streams": streams.TARGET,
    "json_lines": json_lines.TARGET,
    "documents": documents.TARGET,
    "csv_rows": csv_rows.TARGET,
    "rate_cards": rate_cards.TARGET,
    "manifests": manifests.TARGET,
    "settings": settings.TARGET,
    "statements": statements.TARGET,
}
