-- 0003: each delivery as it came, byte for byte. Weeks expire whole: a part is
-- dropped once its last row has, instead of being written again without some.
CREATE TABLE IF NOT EXISTS {{.Local "payloads"}}{{.OnCluster}}
(
    org         LowCardinality(String),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    id          FixedString(16) CODEC(ZSTD(1)),
    source_id   LowCardinality(String),
    identity    String CODEC(ZSTD(1)),
    header      String CODEC(ZSTD(1)),
    body        String CODEC(ZSTD(1)),
    lane        LowCardinality(String),
    chain       LowCardinality(String),
    frame_no    UInt64 CODEC(Delta, ZSTD(1)),
    place       UInt32,
    INDEX by_chain chain TYPE set(64),
    INDEX by_frame frame_no TYPE minmax
)
ENGINE = {{.Replacing "payloads" ""}}
PARTITION BY toMonday(received_at)
ORDER BY (org, received_at, id)
TTL {{.PayloadTTL}}
SETTINGS {{.Durable}}, index_granularity = 256, ttl_only_drop_parts = 1;
{{.Distributed "payloads"}}
