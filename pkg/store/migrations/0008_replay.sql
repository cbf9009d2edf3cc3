-- 0008: what replays need. A replay makes changes again under their old ids, and
-- what it replaces or removes is kept in change_revisions, so that a change can
-- be shown as it was known at an earlier time. The run is that of the replay
-- that replaced the row: copying twice in one run is copying once.
CREATE TABLE IF NOT EXISTS {{.Local "change_revisions"}}{{.OnCluster}}
(
    org                LowCardinality(String),
    occurred_at        DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    id                 FixedString(16) CODEC(ZSTD(1)),
    replaced_run       UInt16,
    replaced_at        DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
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
    place              UInt32
)
ENGINE = {{.Replacing "change_revisions" ""}}
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (org, occurred_at, id, replaced_run)
SETTINGS {{.Durable}}, {{.Calm}}, index_granularity = 1024;
{{.Distributed "change_revisions"}}
-- What a replay changes, or would: a report for whoever asked for it.
CREATE TABLE IF NOT EXISTS {{.Local "replay_differences"}}{{.OnCluster}}
(
    org         LowCardinality(String),
    replay      LowCardinality(String),
    delivery_id FixedString(16) CODEC(ZSTD(1)),
    record      FixedString(16) CODEC(ZSTD(1)), -- a change, or zeros: the delivery itself
    found_at    DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    kind        LowCardinality(String),
    provider    LowCardinality(String),
    summary     String CODEC(ZSTD(1)),
    fields      String CODEC(ZSTD(1)) -- JSON
)
ENGINE = {{.Replacing "replay_differences" ""}}
PARTITION BY toMonday(found_at)
ORDER BY (org, replay, delivery_id, record)
TTL toDateTime(found_at) + toIntervalDay(30)
SETTINGS {{.Durable}}, {{.Calm}}, index_granularity = 1024, ttl_only_drop_parts = 1;
{{.Distributed "replay_differences"}}
-- What was resolved at the door, and is in neither header nor body.
ALTER TABLE {{.Local "payloads"}}{{.OnCluster}}
    ADD COLUMN IF NOT EXISTS provider LowCardinality(String),
    ADD COLUMN IF NOT EXISTS service_id LowCardinality(String),
    ADD COLUMN IF NOT EXISTS service_name LowCardinality(String);
{{if .OnCluster}}ALTER TABLE payloads{{.OnCluster}}
    ADD COLUMN IF NOT EXISTS provider LowCardinality(String),
    ADD COLUMN IF NOT EXISTS service_id LowCardinality(String),
    ADD COLUMN IF NOT EXISTS service_name LowCardinality(String);
{{end}}
