-- 0011: how much is stored of each org, by table and partition, as it was measured
-- last. A partition that nothing was written to since is not measured again.
CREATE TABLE IF NOT EXISTS {{.Local "org_usage"}}{{.OnCluster}}
(
    org         LowCardinality(String),
    of_table    LowCardinality(String),
    of_part     LowCardinality(String),
    measured_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    row_count   UInt64 CODEC(ZSTD(1)), -- 0: nothing any more
    bytes       UInt64 CODEC(ZSTD(1))
)
ENGINE = {{.Replacing "org_usage" "measured_at"}}
ORDER BY (org, of_table, of_part)
SETTINGS {{.Durable}}, {{.Calm}};
{{.Distributed "org_usage"}}
