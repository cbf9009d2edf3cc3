-- 0005: what was said of incidents. An incident is the sum of its reports, and
-- readers add them up: for each field the latest report that has it counts, by
-- the time it is of (at). So the order in which reports come does not matter,
-- and one that comes again meets itself.
CREATE TABLE IF NOT EXISTS {{.Local "incidents"}}{{.OnCluster}}
(
    org          LowCardinality(String),
    id           FixedString(16) CODEC(ZSTD(1)),
    at           DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    report       FixedString(16) CODEC(ZSTD(1)),
    version      UInt64 CODEC(Delta, ZSTD(1)),
    received_at  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    started_at   DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)), -- 1970: it does not say
    status       LowCardinality(String),
    title        String CODEC(ZSTD(1)),
    description  String CODEC(ZSTD(1)),
    severity     LowCardinality(String),
    service_id   LowCardinality(String),
    service_name LowCardinality(String),
    environment  LowCardinality(String),
    source       LowCardinality(String),
    provider     LowCardinality(String),
    external_id  String CODEC(ZSTD(1)),
    url          String CODEC(ZSTD(1)),
    changed_by   LowCardinality(String),
    actor_id     LowCardinality(String),
    actor_name   LowCardinality(String),
    actor_type   LowCardinality(String),
    metadata     String CODEC(ZSTD(1)),
    kept         String CODEC(ZSTD(3)), -- what changed before it, as answered when it was resolved
    source_id    LowCardinality(String),
    delivery_id  FixedString(16) CODEC(ZSTD(1)),
    record_index UInt32,
    run          UInt16,
    chain        LowCardinality(String),
    frame_no     UInt64 CODEC(Delta, ZSTD(1)),
    place        UInt32
)
ENGINE = {{.Replacing "incidents" "version"}}
PARTITION BY toYYYYMM(at)
ORDER BY (org, id, at, report)
SETTINGS {{.Durable}}, {{.Calm}}, index_granularity = 1024,
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
{{.Distributed "incidents"}}
