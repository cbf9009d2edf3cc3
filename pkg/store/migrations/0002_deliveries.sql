-- 0002: what arrived and what became of it: a row for every place of every
-- frame, which proves that nothing is lost. version: run << 48 | normalized ms,
-- so that the latest word on a delivery is the one that is seen.
CREATE TABLE IF NOT EXISTS {{.Local "deliveries"}}{{.OnCluster}}
(
    org            LowCardinality(String),
    received_at    DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    id             FixedString(16) CODEC(ZSTD(1)),
    version        UInt64 CODEC(Delta, ZSTD(1)),
    first_received DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    normalized_at  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    stored_at      DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    source_id      LowCardinality(String),
    identity       String CODEC(ZSTD(1)),
    outcome        LowCardinality(String),
    reason         String CODEC(ZSTD(1)),
    provider       LowCardinality(String),
    detected_by    LowCardinality(String),
    conflict       UInt8,
    changes        UInt32,
    dead_records   UInt32,
    size           UInt64,
    body_hash      FixedString(32) CODEC(NONE),
    run            UInt16,
    lane           LowCardinality(String),
    chain          LowCardinality(String),
    frame_no       UInt64 CODEC(Delta, ZSTD(1)),
    place          UInt32,
    -- Is this delivery's identity known already? So few false hits that asking
    -- for a thousand at once reads next to nothing; a text index answers no
    -- faster (3 million rows: 16 ms of CPU for 300), is 15 times the size and
    -- makes inserts 4 times as costly.
    INDEX by_identity identity TYPE bloom_filter(0.0001),
    -- Which places of a chain's frames are stored?
    INDEX by_chain chain TYPE set(64),
    INDEX by_frame frame_no TYPE minmax
)
ENGINE = {{.Replacing "deliveries" "version"}}
PARTITION BY toYYYYMM(received_at)
ORDER BY (org, received_at, id)
SETTINGS {{.Durable}}, index_granularity = 1024,
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
{{.Distributed "deliveries"}}
