-- What is booked in a month of a day's usage, as the Cost and Usage dataset of FOCUS 1.4; docs/focus.md says what stands in each column.
-- In:    booked, rows of exports/booked or exports/booked_by
--        asked, one row: month, day, billing_account_id, attributed_by, is_billed
--        issuers (provider, provider_name, service_name); pricing_units (unit, consumed, priced, quantity_factor,
--        price_factor)
-- Out:   one row = one priced row of booked; what has no price or is never charged is not a charge of FOCUS
-- Units: costs and unit prices in USD, exact; quantities in ConsumedUnit and PricingUnit
-- NULL:  ListUnitPrice where two list prices were in force within one row under a contract, and their mean has more
--        than six decimals
SELECT
    (CASE WHEN a.is_billed THEN b.cost_usd ELSE 0 END)::DECIMAL(38, 12) AS "BilledCost",
    coalesce(b.account_id, a.billing_account_id) AS "BillingAccountId",
    NULL::VARCHAR AS "BillingAccountName",
    'USD' AS "BillingCurrency",
    ((a.month || '-01')::DATE + INTERVAL 1 MONTH)::TIMESTAMP AS "BillingPeriodEnd",
    (a.month || '-01')::TIMESTAMP AS "BillingPeriodStart",
    'Usage' AS "ChargeCategory",
    CASE WHEN b.charge_class = 'correction' THEN 'Correction' END AS "ChargeClass",
    concat_ws(
        ', ', b.model, b.tier, nullif(replace(b.caching_status, '_', ' '), 'not applicable'),
        replace(b.meter, '_', ' ') || CASE WHEN b.unit = 'tokens' THEN ' tokens' ELSE '' END
    ) AS "ChargeDescription",
    'Usage-Based' AS "ChargeFrequency",
    (b.day + 1)::TIMESTAMP AS "ChargePeriodEnd",
    b.day::TIMESTAMP AS "ChargePeriodStart",
    NULL::VARCHAR AS "CommitmentDiscountStatus",   -- there are none; other rules refer to it
    b.quantity::DECIMAL(26, 6) AS "ConsumedQuantity",
    u.consumed AS "ConsumedUnit",
    b.cost_usd AS "ContractedCost",
    (b.rate_usd_per_million * u.price_factor)::DECIMAL(25, 12) AS "ContractedUnitPrice",
    (CASE WHEN a.is_billed THEN b.cost_usd ELSE 0 END)::DECIMAL(38, 12) AS "EffectiveCost",
    coalesce(i.provider_name, b.provider) AS "HostProviderName",
    NULL::VARCHAR AS "InvoiceDetailId",
    NULL::VARCHAR AS "InvoiceId",
    coalesce(i.provider_name, b.provider) AS "InvoiceIssuerName",
    b.list_cost_usd AS "ListCost",
    (
        CASE
            WHEN b.list_cost_usd = b.cost_usd THEN b.rate_usd_per_million
            -- Both as whole numbers of 0.000000000001 USD: a rate has six decimals, so the division leaves no rest.
            WHEN replace(b.list_cost_usd::VARCHAR, '.', '')::HUGEINT % b.quantity = 0
                THEN (replace(b.list_cost_usd::VARCHAR, '.', '')::HUGEINT // b.quantity)::DECIMAL(18, 0) * 0.000001
        END::DECIMAL(18, 6) * u.price_factor
    )::DECIMAL(25, 12) AS "ListUnitPrice",
    'Standard' AS "PricingCategory",
    (b.quantity::DECIMAL(19, 0) * u.quantity_factor)::DECIMAL(26, 6) AS "PricingQuantity",
    u.priced AS "PricingUnit",
    'AI and Machine Learning' AS "ServiceCategory",
    coalesce(i.service_name, b.provider) AS "ServiceName",
    coalesce(i.provider_name, b.provider) AS "ServiceProviderName",
    'Generative AI' AS "ServiceSubcategory",
    concat_ws('/', b.provider, b.priced_model, b.meter) AS "SkuId",
    array_to_string(list_transform(string_split(b.meter, '_'), lambda word: upper(word[1]) || word[2:]), ' ')
        || CASE WHEN b.unit = 'tokens' THEN ' Tokens' ELSE '' END AS "SkuMeter",
    json_merge_patch(   -- drops what is NULL
        '{}',
        json_object(
            'x_ContextBand',
            CASE WHEN b.context_over_tokens > 0 THEN 'Over ' || b.context_over_tokens || ' Tokens' END,
            'x_ModelId', b.priced_model,
            'x_ServiceTier', b.tier,
            'x_TokenCacheAction',
            CASE
                WHEN b.caching_status = 'uncached' THEN 'Uncached'
                WHEN b.caching_status = 'cached' THEN 'Read'
                WHEN b.caching_status LIKE 'cache_write%' THEN 'Write'
            END,
            'x_TokenDirection',
            CASE WHEN b.unit = 'tokens' THEN CASE b.direction WHEN 'input' THEN 'Input' WHEN 'output' THEN 'Output' END END
        )
    )::VARCHAR AS "SkuPriceDetails",
    concat_ws(
        '/', b.provider, b.priced_model, b.meter, b.tier, b.caching_status,
        CASE WHEN b.context_over_tokens > 0 THEN 'over-' || b.context_over_tokens END
    ) AS "SkuPriceId",
    b.project_id AS "SubAccountId",
    b.project_id AS "SubAccountName",
    b.tags AS "Tags",
    a.attributed_by AS "x_AttributedBy",
    b.key AS "x_AttributedTo",
    b.note AS "x_AttributionNote",
    b.caching_status AS "x_CachingStatus",
    b.is_estimated AS "x_IsEstimated",
    b.meter AS "x_MeterName",
    b.model AS "x_ModelId",
    b.price_status AS "x_PriceStatus",
    b.rate_id AS "x_RateId",
    b.rate_version AS "x_RateVersion",
    b.tier AS "x_ServiceTier",
    b.source_kind AS "x_SourceKind"
FROM booked AS b
CROSS JOIN asked AS a
JOIN pricing_units AS u ON u.unit = b.unit
LEFT JOIN issuers AS i ON i.provider = b.provider
WHERE b.price_status LIKE 'priced%'
ORDER BY
    "BillingAccountId" NULLS FIRST, "SubAccountId" NULLS FIRST, "SkuPriceId" NULLS FIRST, "ChargeClass" NULLS FIRST,
    "x_ModelId" NULLS FIRST, "x_AttributedTo" NULLS FIRST, "x_AttributionNote" NULLS FIRST, "Tags" NULLS FIRST,
    "x_RateId" NULLS FIRST, "x_RateVersion" NULLS FIRST, "x_PriceStatus", "x_SourceKind", "x_IsEstimated" NULLS FIRST,
    "ConsumedQuantity", "ContractedCost", "ListCost"
