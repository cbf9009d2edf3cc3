-- 0006: our own audit trail: what was done to which object by whom, and each use
-- of a key. A record's id is drawn where it is made, with the time in it, so a
-- record that comes twice meets itself; the later word on an event counts, and a
-- withdrawn one is of something that was not done. Nothing here expires.
CREATE TABLE IF NOT EXISTS {{.Local "audit_events"}}{{.OnCluster}}
(
    org         LowCardinality(String),
    created_at  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    id          FixedString(16) CODEC(ZSTD(1)),
    version     UInt64 CODEC(Delta, ZSTD(1)),
    is_deleted  UInt8,
    user_id     LowCardinality(String),
    user_name   LowCardinality(String),
    user_email  LowCardinality(String),
    key_id      LowCardinality(String),
    area        LowCardinality(String),
    operation   LowCardinality(String),
    target_id   String CODEC(ZSTD(1)),
    action      LowCardinality(String),
    object_type LowCardinality(String),
    object_id   String CODEC(ZSTD(1)),
    object_name String CODEC(ZSTD(1)),
    service_id  LowCardinality(String),
    pipeline_id LowCardinality(String),
    description String CODEC(ZSTD(1)),
    outcome     LowCardinality(String),
    -- The history of one object, and what it is called now.
    INDEX by_object object_id TYPE bloom_filter(0.001)
)
ENGINE = {{.Replacing "audit_events" "version, is_deleted"}}
PARTITION BY toYYYYMM(created_at)
ORDER BY (org, created_at, id)
SETTINGS {{.Durable}}, {{.Calm}}, index_granularity = 1024,
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
{{.Distributed "audit_events"}}
CREATE TABLE IF NOT EXISTS {{.Local "token_uses"}}{{.OnCluster}}
(
    org        LowCardinality(String),
    created_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    id         FixedString(16) CODEC(ZSTD(1)),
    key_id     LowCardinality(String),
    scopes     Array(LowCardinality(String)),
    method     LowCardinality(String),
    target     String CODEC(ZSTD(1)),
    user_id    LowCardinality(String)
)
ENGINE = {{.Replacing "token_uses" ""}}
PARTITION BY toYYYYMM(created_at)
ORDER BY (org, created_at, id)
SETTINGS {{.Durable}}, {{.Calm}}, index_granularity = 1024,
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
{{.Distributed "token_uses"}}
