-- 0007: what each frame brought, counted from its header before anything became
-- of it: so many deliveries of a source that were received in a minute. With
-- deliveries, which says what became of them, it is the account. A frame that is
-- counted again makes the same row; one that says that the frame can never be
-- processed (is_dead) counts more than one that does not.
CREATE TABLE IF NOT EXISTS {{.Local "receipts"}}{{.OnCluster}}
(
    org       LowCardinality(String),
    minute    DateTime('UTC') CODEC(Delta, ZSTD(1)),
    source_id LowCardinality(String),
    chain     LowCardinality(String),
    frame_no  UInt64 CODEC(Delta, ZSTD(1)),
    seq       UInt64 CODEC(Delta, ZSTD(1)), -- on the bus
    received  UInt32 CODEC(ZSTD(1)),
    is_dead   UInt8,
    INDEX by_chain chain TYPE set(64),
    INDEX by_frame frame_no TYPE minmax
)
ENGINE = {{.Replacing "receipts" "is_dead"}}
PARTITION BY toYYYYMM(minute)
ORDER BY (org, minute, source_id, chain, frame_no)
SETTINGS {{.Durable}}, {{.Calm}}, index_granularity = 1024,
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
{{.Distributed "receipts"}}
-- The changes of a frame are compared with what its deliveries say they made.
-- Old parts gain the indexes as they merge.
ALTER TABLE {{.Local "changes"}}{{.OnCluster}}
    ADD INDEX IF NOT EXISTS by_chain chain TYPE set(64),
    ADD INDEX IF NOT EXISTS by_frame frame_no TYPE minmax;
