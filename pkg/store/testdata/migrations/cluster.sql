CREATE TABLE IF NOT EXISTS schema_migrations ON CLUSTER prod (number UInt32, name String, applied_at DateTime64(3, 'UTC')) ENGINE = ReplicatedMergeTree('/clickhouse/tables/all/{database}/schema_migrations', '{shard}-{replica}') ORDER BY number SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480;

-- 0001_changes
-- 0001: what changed. The key follows from the id (it holds the time), so the
-- same change always meets itself in the same partition, and the row with the
-- highest version is the one that is seen: run << 48 | (2^48-1 - received ms),
-- that is, the first delivery of the latest run.
CREATE TABLE IF NOT EXISTS changes_local ON CLUSTER prod
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/changes_local', '{replica}', version, is_deleted)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (org, occurred_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480,
    -- The rows of a page are read one by one, with all their columns.
    index_granularity = 1024,
    -- Months that are over come to rest in one part, which FINAL reads as it is.
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS changes ON CLUSTER prod AS changes_local
ENGINE = Distributed('prod', 'whatchanged', 'changes_local', sipHash64(org));

-- 0002_deliveries
-- 0002: what arrived and what became of it: a row for every place of every
-- frame, which proves that nothing is lost. version: run << 48 | normalized ms,
-- so that the latest word on a delivery is the one that is seen.
CREATE TABLE IF NOT EXISTS deliveries_local ON CLUSTER prod
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/deliveries_local', '{replica}', version)
PARTITION BY toYYYYMM(received_at)
ORDER BY (org, received_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480, index_granularity = 1024,
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS deliveries ON CLUSTER prod AS deliveries_local
ENGINE = Distributed('prod', 'whatchanged', 'deliveries_local', sipHash64(org));

-- 0003_payloads
-- 0003: each delivery as it came, byte for byte. Weeks expire whole: a part is
-- dropped once its last row has, instead of being written again without some.
CREATE TABLE IF NOT EXISTS payloads_local ON CLUSTER prod
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/payloads_local', '{replica}')
PARTITION BY toMonday(received_at)
ORDER BY (org, received_at, id)
TTL toDateTime(received_at) + toIntervalDay(7)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480, index_granularity = 256, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS payloads ON CLUSTER prod AS payloads_local
ENGINE = Distributed('prod', 'whatchanged', 'payloads_local', sipHash64(org));

-- 0004_calmer_merges
-- 0004: a part costs by the file, since each is synced, and by how often it is
-- written again. So parts stay in one file until they are large; sixteen parts
-- become one, not five, and a row is merged half as often; and no
-- statistics of every column are kept that no query of ours uses.
ALTER TABLE changes_local ON CLUSTER prod MODIFY SETTING min_bytes_for_wide_part = 67108864, merge_selector_base = 16, auto_statistics_types = '';

ALTER TABLE deliveries_local ON CLUSTER prod MODIFY SETTING min_bytes_for_wide_part = 67108864, merge_selector_base = 16, auto_statistics_types = '';

ALTER TABLE payloads_local ON CLUSTER prod MODIFY SETTING min_bytes_for_wide_part = 67108864, merge_selector_base = 16, auto_statistics_types = '';

-- 0005_incidents
-- 0005: what was said of incidents. An incident is the sum of its reports, and
-- readers add them up: for each field the latest report that has it counts, by
-- the time it is of (at). So the order in which reports come does not matter,
-- and one that comes again meets itself.
CREATE TABLE IF NOT EXISTS incidents_local ON CLUSTER prod
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/incidents_local', '{replica}', version)
PARTITION BY toYYYYMM(at)
ORDER BY (org, id, at, report)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480, min_bytes_for_wide_part = 67108864, merge_selector_base = 16, auto_statistics_types = '', index_granularity = 1024,
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS incidents ON CLUSTER prod AS incidents_local
ENGINE = Distributed('prod', 'whatchanged', 'incidents_local', sipHash64(org));

-- 0006_audit
-- 0006: our own audit trail: what was done to which object by whom, and each use
-- of a key. A record's id is drawn where it is made, with the time in it, so a
-- record that comes twice meets itself; the later word on an event counts, and a
-- withdrawn one is of something that was not done. Nothing here expires.
CREATE TABLE IF NOT EXISTS audit_events_local ON CLUSTER prod
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/audit_events_local', '{replica}', version, is_deleted)
PARTITION BY toYYYYMM(created_at)
ORDER BY (org, created_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480, min_bytes_for_wide_part = 67108864, merge_selector_base = 16, auto_statistics_types = '', index_granularity = 1024,
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS audit_events ON CLUSTER prod AS audit_events_local
ENGINE = Distributed('prod', 'whatchanged', 'audit_events_local', sipHash64(org));

CREATE TABLE IF NOT EXISTS token_uses_local ON CLUSTER prod
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/token_uses_local', '{replica}')
PARTITION BY toYYYYMM(created_at)
ORDER BY (org, created_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480, min_bytes_for_wide_part = 67108864, merge_selector_base = 16, auto_statistics_types = '', index_granularity = 1024,
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS token_uses ON CLUSTER prod AS token_uses_local
ENGINE = Distributed('prod', 'whatchanged', 'token_uses_local', sipHash64(org));

-- 0007_receipts
-- 0007: what each frame brought, counted from its header before anything became
-- of it: so many deliveries of a source that were received in a minute. With
-- deliveries, which says what became of them, it is the account. A frame that is
-- counted again makes the same row; one that says that the frame can never be
-- processed (is_dead) counts more than one that does not.
CREATE TABLE IF NOT EXISTS receipts_local ON CLUSTER prod
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/receipts_local', '{replica}', is_dead)
PARTITION BY toYYYYMM(minute)
ORDER BY (org, minute, source_id, chain, frame_no)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480, min_bytes_for_wide_part = 67108864, merge_selector_base = 16, auto_statistics_types = '', index_granularity = 1024,
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS receipts ON CLUSTER prod AS receipts_local
ENGINE = Distributed('prod', 'whatchanged', 'receipts_local', sipHash64(org));

-- The changes of a frame are compared with what its deliveries say they made.
-- Old parts gain the indexes as they merge.
ALTER TABLE changes_local ON CLUSTER prod
    ADD INDEX IF NOT EXISTS by_chain chain TYPE set(64),
    ADD INDEX IF NOT EXISTS by_frame frame_no TYPE minmax;

-- 0008_replay
-- 0008: what replays need. A replay makes changes again under their old ids, and
-- what it replaces or removes is kept in change_revisions, so that a change can
-- be shown as it was known at an earlier time. The run is that of the replay
-- that replaced the row: copying twice in one run is copying once.
CREATE TABLE IF NOT EXISTS change_revisions_local ON CLUSTER prod
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/change_revisions_local', '{replica}')
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (org, occurred_at, id, replaced_run)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480, min_bytes_for_wide_part = 67108864, merge_selector_base = 16, auto_statistics_types = '', index_granularity = 1024;

CREATE TABLE IF NOT EXISTS change_revisions ON CLUSTER prod AS change_revisions_local
ENGINE = Distributed('prod', 'whatchanged', 'change_revisions_local', sipHash64(org));

-- What a replay changes, or would: a report for whoever asked for it.
CREATE TABLE IF NOT EXISTS replay_differences_local ON CLUSTER prod
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/replay_differences_local', '{replica}')
PARTITION BY toMonday(found_at)
ORDER BY (org, replay, delivery_id, record)
TTL toDateTime(found_at) + toIntervalDay(30)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480, min_bytes_for_wide_part = 67108864, merge_selector_base = 16, auto_statistics_types = '', index_granularity = 1024, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS replay_differences ON CLUSTER prod AS replay_differences_local
ENGINE = Distributed('prod', 'whatchanged', 'replay_differences_local', sipHash64(org));

-- What was resolved at the door, and is in neither header nor body.
ALTER TABLE payloads_local ON CLUSTER prod
    ADD COLUMN IF NOT EXISTS provider LowCardinality(String),
    ADD COLUMN IF NOT EXISTS service_id LowCardinality(String),
    ADD COLUMN IF NOT EXISTS service_name LowCardinality(String);

ALTER TABLE payloads ON CLUSTER prod
    ADD COLUMN IF NOT EXISTS provider LowCardinality(String),
    ADD COLUMN IF NOT EXISTS service_id LowCardinality(String),
    ADD COLUMN IF NOT EXISTS service_name LowCardinality(String);

-- 0009_org_usage
-- 0011: how much is stored of each org, by table and partition, as it was measured
-- last. A partition that nothing was written to since is not measured again.
CREATE TABLE IF NOT EXISTS org_usage_local ON CLUSTER prod
(
    org         LowCardinality(String),
    of_table    LowCardinality(String),
    of_part     LowCardinality(String),
    measured_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    row_count   UInt64 CODEC(ZSTD(1)), -- 0: nothing any more
    bytes       UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/org_usage_local', '{replica}', measured_at)
ORDER BY (org, of_table, of_part)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480, min_bytes_for_wide_part = 67108864, merge_selector_base = 16, auto_statistics_types = '';

CREATE TABLE IF NOT EXISTS org_usage ON CLUSTER prod AS org_usage_local
ENGINE = Distributed('prod', 'whatchanged', 'org_usage_local', sipHash64(org));
