-- A user for each service, with what it needs and no more. Run by an administrator,
-- and again with each new version; printed by: whatchanged clickhouse grants
-- {api_sha256:String} and the like are the SHA-256 hashes of passwords:
--   clickhouse-client --param_api_sha256="$(printf %s "$API_PASSWORD" | sha256sum | cut -d' ' -f1)" ... --queries-file users.sql

CREATE SETTINGS PROFILE OR REPLACE whatchanged_api ON CLUSTER whatchanged SETTINGS
    allow_ddl = 0 CONST,
    async_insert = 0,
    max_memory_usage = 1073741824 MAX 1073741824,
    max_memory_usage_for_user = 4294967296 CONST,
    max_execution_time = 20 MAX 3605,
    max_concurrent_queries_for_user = 128 CONST;

CREATE ROLE IF NOT EXISTS whatchanged_api_role ON CLUSTER whatchanged;

GRANT ON CLUSTER whatchanged
    SELECT ON whatchanged.schema_migrations,
    SELECT ON system.columns,
    SELECT ON system.databases,
    SELECT ON system.tables,
    SELECT ON whatchanged.audit_events,
    SELECT ON whatchanged.audit_events_local,
    SELECT ON whatchanged.change_revisions,
    SELECT ON whatchanged.change_revisions_local,
    SELECT ON whatchanged.changes,
    SELECT ON whatchanged.changes_local,
    SELECT ON whatchanged.deliveries,
    SELECT ON whatchanged.deliveries_local,
    SELECT ON whatchanged.incidents,
    SELECT ON whatchanged.incidents_local,
    SELECT ON whatchanged.org_usage,
    SELECT ON whatchanged.org_usage_local,
    SELECT ON whatchanged.payloads,
    SELECT ON whatchanged.payloads_local,
    SELECT ON whatchanged.receipts,
    SELECT ON whatchanged.receipts_local,
    SELECT ON whatchanged.replay_differences,
    SELECT ON whatchanged.replay_differences_local,
    SELECT ON whatchanged.token_uses,
    SELECT ON whatchanged.token_uses_local,
    INSERT, SHOW COLUMNS ON whatchanged.audit_events,
    INSERT, SHOW COLUMNS ON whatchanged.audit_events_local,
    INSERT, SHOW COLUMNS ON whatchanged.token_uses,
    INSERT, SHOW COLUMNS ON whatchanged.token_uses_local
    TO whatchanged_api_role WITH REPLACE OPTION;

CREATE USER OR REPLACE whatchanged_api ON CLUSTER whatchanged IDENTIFIED WITH sha256_hash BY {api_sha256:String}
    DEFAULT ROLE whatchanged_api_role SETTINGS PROFILE 'whatchanged_api';

GRANT ON CLUSTER whatchanged whatchanged_api_role TO whatchanged_api;

CREATE QUOTA OR REPLACE whatchanged_api ON CLUSTER whatchanged KEYED BY user_name FOR INTERVAL 1 minute MAX queries = 60000, read_rows = 60000000000 TO whatchanged_api_role;

CREATE SETTINGS PROFILE OR REPLACE whatchanged_normalizer ON CLUSTER whatchanged SETTINGS
    allow_ddl = 0 CONST,
    async_insert = 0;

CREATE ROLE IF NOT EXISTS whatchanged_normalizer_role ON CLUSTER whatchanged;

GRANT ON CLUSTER whatchanged
    SELECT ON whatchanged.schema_migrations,
    SELECT ON system.columns,
    SELECT ON system.databases,
    SELECT ON system.tables,
    SELECT ON whatchanged.changes,
    SELECT ON whatchanged.changes_local,
    SELECT ON whatchanged.deliveries,
    SELECT ON whatchanged.deliveries_local,
    SELECT ON whatchanged.payloads,
    SELECT ON whatchanged.payloads_local,
    INSERT, SHOW COLUMNS ON whatchanged.replay_differences,
    INSERT, SHOW COLUMNS ON whatchanged.replay_differences_local
    TO whatchanged_normalizer_role WITH REPLACE OPTION;

CREATE USER OR REPLACE whatchanged_normalizer ON CLUSTER whatchanged IDENTIFIED WITH sha256_hash BY {normalizer_sha256:String}
    DEFAULT ROLE whatchanged_normalizer_role SETTINGS PROFILE 'whatchanged_normalizer';

GRANT ON CLUSTER whatchanged whatchanged_normalizer_role TO whatchanged_normalizer;

CREATE SETTINGS PROFILE OR REPLACE whatchanged_writer ON CLUSTER whatchanged SETTINGS
    allow_ddl = 1 CONST,
    async_insert = 0;

CREATE ROLE IF NOT EXISTS whatchanged_writer_role ON CLUSTER whatchanged;

GRANT ON CLUSTER whatchanged
    SELECT ON whatchanged.schema_migrations,
    SELECT ON system.columns,
    SELECT ON system.databases,
    SELECT ON system.tables,
    SELECT ON whatchanged.change_revisions,
    SELECT ON whatchanged.change_revisions_local,
    SELECT ON whatchanged.changes,
    SELECT ON whatchanged.changes_local,
    SELECT ON whatchanged.deliveries,
    SELECT ON whatchanged.deliveries_local,
    SELECT ON whatchanged.org_usage,
    SELECT ON whatchanged.org_usage_local,
    SELECT ON whatchanged.payloads,
    SELECT ON whatchanged.payloads_local,
    SELECT ON whatchanged.receipts,
    SELECT ON whatchanged.receipts_local,
    SELECT ON system.detached_parts,
    SELECT ON system.parts,
    INSERT, SHOW COLUMNS ON whatchanged.audit_events,
    INSERT, SHOW COLUMNS ON whatchanged.audit_events_local,
    INSERT, SHOW COLUMNS ON whatchanged.change_revisions,
    INSERT, SHOW COLUMNS ON whatchanged.change_revisions_local,
    INSERT, SHOW COLUMNS ON whatchanged.changes,
    INSERT, SHOW COLUMNS ON whatchanged.changes_local,
    INSERT, SHOW COLUMNS ON whatchanged.deliveries,
    INSERT, SHOW COLUMNS ON whatchanged.deliveries_local,
    INSERT, SHOW COLUMNS ON whatchanged.incidents,
    INSERT, SHOW COLUMNS ON whatchanged.incidents_local,
    INSERT, SHOW COLUMNS ON whatchanged.org_usage,
    INSERT, SHOW COLUMNS ON whatchanged.org_usage_local,
    INSERT, SHOW COLUMNS ON whatchanged.payloads,
    INSERT, SHOW COLUMNS ON whatchanged.payloads_local,
    INSERT, SHOW COLUMNS ON whatchanged.receipts,
    INSERT, SHOW COLUMNS ON whatchanged.receipts_local,
    INSERT, SHOW COLUMNS ON whatchanged.token_uses,
    INSERT, SHOW COLUMNS ON whatchanged.token_uses_local,
    ALTER DELETE ON whatchanged.change_revisions,
    ALTER DELETE ON whatchanged.change_revisions_local,
    ALTER DELETE ON whatchanged.changes,
    ALTER DELETE ON whatchanged.changes_local,
    ALTER DELETE ON whatchanged.deliveries,
    ALTER DELETE ON whatchanged.deliveries_local,
    ALTER DELETE ON whatchanged.payloads,
    ALTER DELETE ON whatchanged.payloads_local,
    ALTER DELETE ON whatchanged.receipts,
    ALTER DELETE ON whatchanged.receipts_local,
    CLUSTER ON *.*,
    REMOTE ON *.*
    TO whatchanged_writer_role WITH REPLACE OPTION;

CREATE USER OR REPLACE whatchanged_writer ON CLUSTER whatchanged IDENTIFIED WITH sha256_hash BY {writer_sha256:String}
    DEFAULT ROLE whatchanged_writer_role SETTINGS PROFILE 'whatchanged_writer';

GRANT ON CLUSTER whatchanged whatchanged_writer_role TO whatchanged_writer;

CREATE SETTINGS PROFILE OR REPLACE whatchanged_migrate ON CLUSTER whatchanged SETTINGS
    async_insert = 0,
    max_execution_time = 0;

CREATE ROLE IF NOT EXISTS whatchanged_migrate_role ON CLUSTER whatchanged;

GRANT ON CLUSTER whatchanged
    SELECT, INSERT, SHOW, CREATE DATABASE, CREATE TABLE, ALTER ADD COLUMN, ALTER ADD INDEX, ALTER SETTINGS, ALTER TTL ON whatchanged.*,
    SELECT ON system.databases,
    SELECT ON system.tables,
    SELECT ON system.columns,
    CLUSTER ON *.*,
    REMOTE ON *.*,
    TABLE ENGINE ON ReplicatedReplacingMergeTree,
    TABLE ENGINE ON ReplicatedMergeTree,
    TABLE ENGINE ON Distributed
    TO whatchanged_migrate_role WITH REPLACE OPTION;

CREATE USER OR REPLACE whatchanged_migrate ON CLUSTER whatchanged IDENTIFIED WITH sha256_hash BY {migrate_sha256:String}
    DEFAULT ROLE whatchanged_migrate_role SETTINGS PROFILE 'whatchanged_migrate';

GRANT ON CLUSTER whatchanged whatchanged_migrate_role TO whatchanged_migrate;

CREATE SETTINGS PROFILE OR REPLACE whatchanged_backup ON CLUSTER whatchanged SETTINGS
    async_insert = 0,
    max_execution_time = 0;

CREATE ROLE IF NOT EXISTS whatchanged_backup_role ON CLUSTER whatchanged;

GRANT ON CLUSTER whatchanged
    SELECT, INSERT, SHOW, BACKUP, CREATE DATABASE, CREATE TABLE, DROP DATABASE, DROP TABLE ON whatchanged.*,
    SELECT, INSERT, SHOW, BACKUP, CREATE DATABASE, CREATE TABLE, DROP DATABASE, DROP TABLE ON whatchanged_restoring.*,
    SELECT ON system.backups,
    SELECT ON system.databases,
    SELECT ON system.tables,
    S3 ON *.*,
    TABLE ENGINE ON *,
    CLUSTER ON *.*,
    REMOTE ON *.*
    TO whatchanged_backup_role WITH REPLACE OPTION;

CREATE USER OR REPLACE whatchanged_backup ON CLUSTER whatchanged IDENTIFIED WITH sha256_hash BY {backup_sha256:String}
    DEFAULT ROLE whatchanged_backup_role SETTINGS PROFILE 'whatchanged_backup';

GRANT ON CLUSTER whatchanged whatchanged_backup_role TO whatchanged_backup;

CREATE SETTINGS PROFILE OR REPLACE whatchanged_grafana ON CLUSTER whatchanged SETTINGS
    readonly = 2,
    allow_ddl = 0 CONST,
    max_memory_usage = 536870912 CONST,
    max_memory_usage_for_user = 1073741824 CONST,
    max_execution_time = 20 MAX 20,
    max_rows_to_read = 1000000000 CONST,
    max_concurrent_queries_for_user = 8 CONST;

CREATE ROLE IF NOT EXISTS whatchanged_grafana_role ON CLUSTER whatchanged;

GRANT ON CLUSTER whatchanged
    SELECT ON whatchanged.changes,
    SELECT ON whatchanged.changes_local,
    SELECT ON whatchanged.deliveries,
    SELECT ON whatchanged.deliveries_local,
    SELECT ON whatchanged.incidents,
    SELECT ON whatchanged.incidents_local,
    SELECT ON whatchanged.receipts,
    SELECT ON whatchanged.receipts_local
    TO whatchanged_grafana_role WITH REPLACE OPTION;

CREATE USER OR REPLACE whatchanged_grafana ON CLUSTER whatchanged IDENTIFIED WITH sha256_hash BY {grafana_sha256:String}
    DEFAULT ROLE whatchanged_grafana_role SETTINGS PROFILE 'whatchanged_grafana';

GRANT ON CLUSTER whatchanged whatchanged_grafana_role TO whatchanged_grafana;

CREATE QUOTA OR REPLACE whatchanged_grafana ON CLUSTER whatchanged KEYED BY user_name FOR INTERVAL 1 minute MAX queries = 600, read_rows = 10000000000, execution_time = 300 TO whatchanged_grafana_role;
