"""The rules of FOCUS 1.4 for Cost and Usage that apply to us, in our own words, as SQL that finds offenders.

Source: the requirements model of FOCUS 1.4 (ratified 2026-06-04), `model-1.4.json` of the specification's release. Each
rule names the rules of the model that it stands for. What applies only to commitments, reservations, regions, virtual
currencies and provisioned resources is left out, as nothing of that is in an export of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

# Columns every dataset has; then those that our circumstances ask for.
MANDATORY = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "HostProviderName", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit",
    "ServiceCategory", "ServiceName", "ServiceProviderName",
)  # fmt: skip
CONDITIONAL = (
    "ChargeFrequency", "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "InvoiceDetailId", "InvoiceId",
    "ListUnitPrice", "PricingCategory", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId",
    "SubAccountId", "SubAccountName", "Tags",
)  # fmt: skip
REMOVED = ("ProviderName", "PublisherName")  # deprecated in 1.3


@dataclass(frozen=True)
class Rule:
    """One rule: what must never be, as a condition on a row; `of` are the rules of the model."""

    of: str
    says: str
    offends: str


def _never_null(*columns: str) -> list[Rule]:
    return [Rule(f"{name}: not null", f"{name} has a value", f'"{name}" IS NULL') for name in columns]


def _of(column: str, *allowed: str) -> Rule:
    words = ", ".join(f"'{word}'" for word in allowed)
    return Rule(f"{column}: allowed values", f"{column} is one of {words}", f'"{column}" NOT IN ({words})')


_IS_USAGE = "\"ChargeCategory\" = 'Usage' AND \"ChargeClass\" IS DISTINCT FROM 'Correction'"
RULES = [
    *_never_null(
        "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory",
        "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost",
        "HostProviderName", "InvoiceIssuerName", "ListCost", "ServiceCategory", "ServiceName", "ServiceProviderName",
        "ServiceSubcategory",
    ),
    _of("BillingCurrency", "USD"),
    _of("ChargeCategory", "Usage", "Purchase", "Tax", "Credit", "Adjustment"),
    _of("ChargeClass", "Correction"),
    _of("ChargeFrequency", "One-Time", "Recurring", "Usage-Based"),
    _of("PricingCategory", "Standard", "Dynamic", "Committed", "Other"),
    _of("ServiceCategory", "AI and Machine Learning"),
    _of(
        "ServiceSubcategory",
        "AI Platforms", "Bots", "Generative AI", "Machine Learning", "Natural Language Processing",
        "Other (AI and Machine Learning)",
    ),
    *(
        Rule(f"{name}-C-005/006", f"usage that is no correction has a {name}", f'{_IS_USAGE} AND "{name}" IS NULL')
        for name in (
            "SkuId", "SkuPriceId", "PricingQuantity", "PricingUnit", "PricingCategory", "ConsumedQuantity",
            "ConsumedUnit", "ContractedUnitPrice", "ListUnitPrice",
        )
    ),
    *(
        Rule(
            f"{name}: null without a price",
            f"{name} only with a SkuPriceId",
            f'"SkuPriceId" IS NULL AND "{name}" IS NOT NULL',
        )
        for name in ("ConsumedQuantity", "ContractedUnitPrice", "ListUnitPrice", "PricingQuantity", "SkuPriceDetails")
    ),
    Rule("ContractedUnitPrice-C-009", "a price is not negative", '"ContractedUnitPrice" < 0 OR "ListUnitPrice" < 0'),
    Rule(
        "ContractedCost-C-011",
        "quantity x contracted price is the contracted cost, to the last digit",
        '"PricingQuantity"::DECIMAL(20, 6) * "ContractedUnitPrice"::DECIMAL(18, 12) <> "ContractedCost"',
    ),
    Rule(
        "ListCost-C-011",
        "quantity x list price is the list cost, to the last digit",
        '"PricingQuantity"::DECIMAL(20, 6) * "ListUnitPrice"::DECIMAL(18, 12) <> "ListCost"',
    ),
    Rule("EffectiveCost-C-015", "usage that nothing covers: effective is billed", '"EffectiveCost" <> "BilledCost"'),
    Rule("PricingUnit-C-005/006", "a quantity has its unit", '("PricingUnit" IS NULL) <> ("PricingQuantity" IS NULL)'),
    Rule("ConsumedUnit-C-005/006", "likewise", '("ConsumedUnit" IS NULL) <> ("ConsumedQuantity" IS NULL)'),
    Rule(
        "UnitFormat-A-024",
        "units are plural nouns in capitals, with a whole number before them or none",
        "NOT regexp_full_match(\"PricingUnit\", '([1-9][0-9]* )?[A-Z][a-z]+s') "
        "OR NOT regexp_full_match(\"ConsumedUnit\", '[A-Z][a-z]+s')",
    ),
    Rule("SubAccountName-C-004/005", "a name with its id", '("SubAccountId" IS NULL) <> ("SubAccountName" IS NULL)'),
    Rule("SkuMeter-C-004", "a meter with its SKU", '("SkuId" IS NULL) <> ("SkuMeter" IS NULL)'),
    Rule("HostProviderName-C-010", "the host is who sells", '"HostProviderName" <> "ServiceProviderName"'),
    Rule(
        "BillingPeriodStart-C-004, BillingPeriodEnd-C-004",
        "a billing period is a month: from its first instant to before that of the next",
        "date_trunc('month', \"BillingPeriodStart\") <> \"BillingPeriodStart\" "
        'OR "BillingPeriodStart" + INTERVAL 1 MONTH <> "BillingPeriodEnd"',
    ),
    Rule(
        "ChargePeriodEnd-C-004",
        "a charge period is a day, half-open",
        "date_trunc('day', \"ChargePeriodStart\") <> \"ChargePeriodStart\" "
        'OR "ChargePeriodStart" + INTERVAL 1 DAY <> "ChargePeriodEnd"',
    ),
    Rule(
        "ChargeClass-C-003/004",
        "a correction is of an earlier billing period, and nothing else is",
        "(\"ChargeClass\" = 'Correction') IS DISTINCT FROM "
        '(CASE WHEN "ChargePeriodStart" < "BillingPeriodStart" THEN true END)',
    ),
    Rule(
        "KeyValueFormat-A-001..004",
        "Tags and SkuPriceDetails are flat JSON objects",
        "EXISTS (SELECT 1 FROM (VALUES (\"Tags\"), (\"SkuPriceDetails\")) AS v(text) WHERE text IS NOT NULL AND "
        "(json_type(text) <> 'OBJECT' OR len(list_filter(json_keys(text), lambda k: "
        "json_type(text, '$.\"' || k || '\"') IN ('OBJECT', 'ARRAY'))) > 0))",
    ),
    Rule(
        "SkuPriceDetails-C-017",
        "a property that FOCUS does not define begins with x_",
        "len(list_filter(json_keys(\"SkuPriceDetails\"), lambda k: NOT starts_with(k, 'x_'))) > 0",
    ),
    Rule("StringHandling-A-007", "no text is empty", " OR ".join(f"trim(\"{name}\") = ''" for name in (
        "BillingAccountId", "ChargeDescription", "ServiceName", "SkuId", "SkuPriceId", "SubAccountId", "x_AttributedTo",
    ))),
]  # fmt: skip
# Over all rows: text -> a query that returns what offends.
OVER_ALL = {
    "SkuPriceId-C-008: a price belongs to one SKU": (
        'SELECT "SkuPriceId" FROM focus GROUP BY ALL HAVING count(DISTINCT "SkuId") > 1'
    ),
    "SkuMeter-C-006: a SKU has one meter": (
        'SELECT "SkuId" FROM focus GROUP BY ALL HAVING count(DISTINCT "SkuMeter") > 1'
    ),
    "SkuPriceDetails-C-013: a price has one set of properties": (
        'SELECT "SkuPriceId" FROM focus GROUP BY ALL HAVING count(DISTINCT "SkuPriceDetails") > 1'
    ),
    "ServiceName-C-005: a service is in one category": (
        'SELECT "ServiceName" FROM focus GROUP BY ALL HAVING count(DISTINCT "ServiceCategory") > 1'
    ),
}


def offences(file: Path) -> list[str]:
    """What of a file breaks a rule: the rule and how many rows, or the columns."""
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        reads = f"read_csv('{file}', header = true, all_varchar = true, nullstr = '')"
        if file.suffix == ".csv":
            con.execute(f"CREATE TABLE focus AS SELECT {_TYPED} FROM {reads}")
        else:
            con.execute(f"CREATE TABLE focus AS SELECT {_ZONELESS} FROM read_parquet('{file}')")
        found = _columns([name for name, *_ in con.execute("DESCRIBE focus").fetchall()])
        for rule in RULES:
            [count] = con.execute(f"SELECT count(*) FROM focus WHERE {rule.offends}").fetchone() or (0,)
            found += [f"{rule.of}: {count} rows, {rule.says}"] if count else []
        return found + [text for text, query in OVER_ALL.items() if con.execute(query).fetchall()]


_INSTANTS = ("BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart")
_MONEY = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "ContractedUnitPrice", "ListUnitPrice")
_ZONELESS = "* REPLACE (" + ", ".join(f'"{name}"::TIMESTAMP AS "{name}"' for name in _INSTANTS) + ")"
_TYPED = (
    "* REPLACE ("
    # strptime refuses what is not exactly FOCUS's form.
    + ", ".join(f'strptime("{name}", \'%Y-%m-%dT%H:%M:%SZ\') AS "{name}"' for name in _INSTANTS)
    + ", "
    + ", ".join(f'"{name}"::DECIMAL(38, 12) AS "{name}"' for name in _MONEY)
    + ', "PricingQuantity"::DECIMAL(26, 6) AS "PricingQuantity")'
)


def _columns(names: Sequence[str]) -> list[str]:
    ours = [name for name in names if name.startswith("x_")]
    theirs = [name for name in names if not name.startswith("x_")]
    found = [f"column {name} is missing" for name in (*MANDATORY, *CONDITIONAL) if name not in names]
    found += [f"column {name} is no more" for name in REMOVED if name in names]
    found += [] if list(names) == [*theirs, *ours] else ["custom columns stand behind FOCUS's"]
    return found + [
        f"{name} is not in Pascal case" for name in ours if not name[2:3].isupper() or not name[2:].isalnum()
    ]
