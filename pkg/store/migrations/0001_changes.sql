-- 0001: what changed. The key follows from the id (it holds the time), so the
-- same change always meets itself in the same partition, and the row with the
-- highest version is the one that is seen: run << 48 | (2^48-1 - received ms),
-- that is, the first delivery of the latest run.
CREATE TABLE IF NOT EXISTS {{.Local "changes"}}{{.OnCluster}}
(
    org                LowCardinality(String),
    occurred_at        DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    id                 FixedString(16) CODEC(ZSTD(1)),
    version            UInt64 CODEC(Delta, ZSTD(1)),
    is_deleted         UInt8,
    created_at         DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    service_id         LowCardinality(String),
    service_name       LowCardinality(String),
    change_type        LowCardinality(String),
    action             LowCardinality(String),
    status             LowCardinality(String),
    summary            String CODEC(ZSTD(1)),
    description        String CODEC(ZSTD(1)),
    source             LowCardinality(String),
    environment        LowCardinality(String),
    risk_level         LowCardinality(String),
    risk_hints         Array(LowCardinality(String)),
    changed_by         LowCardinality(String),
    actor_id           LowCardinality(String),
    actor_name         LowCardinality(String),
    actor_type         LowCardinality(String),
    resource_type      LowCardinality(String),
    resource_id        String CODEC(ZSTD(1)),
    resource_name      String CODEC(ZSTD(1)),
    resource_url       String CODEC(ZSTD(1)),
    repository         LowCardinality(String),
    commit_sha         String CODEC(ZSTD(1)),
    commit_message     String CODEC(ZSTD(1)),
    branch             LowCardinality(String),
    software_version   String CODEC(ZSTD(1)),
    pr_number          String CODEC(ZSTD(1)),
    pr_url             String CODEC(ZSTD(1)),
    pipeline_url       String CODEC(ZSTD(1)),
    account            LowCardinality(String),
    region             LowCardinality(String),
    external_id        String CODEC(ZSTD(1)),
    correlation_id     String CODEC(ZSTD(1)),
    session_id         String CODEC(ZSTD(1)),
    tags               Array(LowCardinality(String)),
    metadata           String CODEC(ZSTD(1)),
    source_id          LowCardinality(String),
    delivery_id        FixedString(16) CODEC(ZSTD(1)),
    record_index       UInt32,
    provider           LowCardinality(String),
    normalizer         LowCardinality(String),
    normalizer_version UInt32,
    detected_by        LowCardinality(String),
    run                UInt16,
    chain              LowCardinality(String),
    frame_no           UInt64 CODEC(Delta, ZSTD(1)),
    place              UInt32,
    -- The words of the summary, whatever their case.
    INDEX by_summary lowerUTF8(summary) TYPE text(tokenizer = 'splitByNonAlpha'),
    -- What a delivery made: its changes may have occurred at any time.
    INDEX by_delivery delivery_id TYPE bloom_filter(0.001)
)
ENGINE = {{.Replacing "changes" "version, is_deleted"}}
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (org, occurred_at, id)
SETTINGS {{.Durable}},
    -- The rows of a page are read one by one, with all their columns.
    index_granularity = 1024,
    -- Months that are over come to rest in one part, which FINAL reads as it is.
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
{{.Distributed "changes"}}
