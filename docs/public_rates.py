#!/usr/bin/env python3
"""Take the rate files out of the wheels of litellm and genai-prices, for `costroll rates diff` and `rates import`.

    pip download --no-deps litellm genai-prices
    pip install genai-prices
    python docs/public_rates.py litellm-*.whl genai_prices-*.whl
    costroll rates diff litellm.json
    costroll rates diff genai-prices.json

The wheel of litellm holds its JSON file. That of genai-prices holds the same data as Python objects, which are written
here in the form of its v2 `data.json`; the package must be installed, as they import from it.
"""

from __future__ import annotations

import datetime
import importlib
import json
import sys
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

LITELLM = "litellm/model_prices_and_context_window_backup.json"


def litellm(wheel: Path) -> bytes:
    """The bytes of LiteLLM's file."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(LITELLM)


def genai_prices(wheel: Path) -> bytes:
    """The data of genai-prices as JSON; every number as it is written there."""
    sys.path.insert(0, str(wheel))
    providers = importlib.import_module("genai_prices.data").providers
    wanted = [{"id": provider.id, "models": [_model(model) for model in provider.models]} for provider in providers]
    return json.dumps(wanted, default=_plain).encode()


def _model(model: Any) -> dict[str, Any]:
    names = ("id", "name", "description", "context_window", "price_comments", "deprecated", "prices", "price_variants")
    found = {name: getattr(model, name) for name in names if getattr(model, name) is not None}
    return found | {"match": _match(model.match)}


def _match(clause: Any) -> Any:
    found = {}
    for name, value in vars(clause).items():
        is_nested = isinstance(value, list)
        found[name.rstrip("_")] = [_match(below) for below in value] if is_nested else value
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(str(value))
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    # A price list, a tier or a variant: what has no value is left out, as in the file.
    return {name: below for name, below in vars(value).items() if below is not None and not name.startswith("_")}


def main() -> None:
    """Write `litellm.json` and `genai-prices.json` into the working directory."""
    for wheel in map(Path, sys.argv[1:]):
        made = genai_prices(wheel) if wheel.name.startswith("genai") else litellm(wheel)
        target = Path("genai-prices.json" if wheel.name.startswith("genai") else "litellm.json")
        target.write_bytes(made)
        sys.stdout.write(f"{target}: {len(made):,} bytes\n")


if __name__ == "__main__":
    main()
