-- A user for each service, with what it needs and no more. Run by an administrator,
-- and again with each new version; printed by: whatchanged clickhouse grants
-- {api_sha256:String} and the like are the SHA-256 hashes of passwords:
--   clickhouse-client --param_api_sha256="$(printf %s "$API_PASSWORD" | sha256sum | cut -d' ' -f1)" ... --queries-file users.sql

CREATE SETTINGS PROFILE OR REPLACE whatchanged_api SETTINGS
    allow_ddl = 0 CONST,
    async_insert = 0,
    max_memory_usage = 1073741824 MAX 1073741824,
    max_memory_usage_for_user = 4294967296 CONST,
    max_execution_time = 20 MAX 3605,
    max_concurrent_queries_for_user = 128 CONST;

CREATE ROLE IF NOT EXISTS whatchanged_api_role;

GRANT
    SELECT ON whatchanged.schema_migrations,
    SELECT ON system.columns,
    SELECT ON system.databases,
    SELECT ON system.tables,
    SELECT ON whatchanged.audit_events,
    SELECT ON whatchanged.change_revisions,
    SELECT ON whatchanged.changes,
    SELECT ON whatchanged.deliveries,
    SELECT ON whatchanged.incidents,
    SELECT ON whatchanged.org_usage,
    SELECT ON whatchanged.payloads,
    SELECT ON whatchanged.receipts,
    SELECT ON whatchanged.replay_differences,
    SELECT ON whatchanged.token_uses,
    INSERT, SHOW COLUMNS ON whatchanged.audit_events,
    INSERT, SHOW COLUMNS ON whatchanged.token_uses
    TO whatchanged_api_role WITH REPLACE OPTION;

CREATE USER OR REPLACE whatchanged_api IDENTIFIED WITH sha256_hash BY {api_sha256:String}
    DEFAULT ROLE whatchanged_api_role SETTINGS PROFILE 'whatchanged_api';

GRANT whatchanged_api_role TO whatchanged_api;

CREATE QUOTA OR REPLACE whatchanged_api KEYED BY user_name FOR INTERVAL 1 minute MAX queries = 60000, read_rows = 60000000000 TO whatchanged_api_role;

CREATE SETTINGS PROFILE OR REPLACE whatchanged_normalizer SETTINGS
    allow_ddl = 0 CONST,
    async_insert = 0;

CREATE ROLE IF NOT EXISTS whatchanged_normalizer_role;

GRANT
    SELECT ON whatchanged.schema_migrations,
    SELECT ON system.columns,
    SELECT ON system.databases,
    SELECT ON system.tables,
    SELECT ON whatchanged.changes,
    SELECT ON whatchanged.deliveries,
    SELECT ON whatchanged.payloads,
    INSERT, SHOW COLUMNS ON whatchanged.replay_differences
    TO whatchanged_normalizer_role WITH REPLACE OPTION;

CREATE USER OR REPLACE whatchanged_normalizer IDENTIFIED WITH sha256_hash BY {normalizer_sha256:String}
    DEFAULT ROLE whatchanged_normalizer_role SETTINGS PROFILE 'whatchanged_normalizer';

GRANT whatchanged_normalizer_role TO whatchanged_normalizer;

CREATE SETTINGS PROFILE OR REPLACE whatchanged_writer SETTINGS
    allow_ddl = 1 CONST,
    async_insert = 0;

CREATE ROLE IF NOT EXISTS whatchanged_writer_role;

GRANT
    SELECT ON whatchanged.schema_migrations,
    SELECT ON system.columns,
    SELECT ON system.databases,
    SELECT ON system.tables,
    SELECT ON whatchanged.change_revisions,
    SELECT ON whatchanged.changes,
    SELECT ON whatchanged.deliveries,
    SELECT ON whatchanged.org_usage,
    SELECT ON whatchanged.payloads,
    SELECT ON whatchanged.receipts,
    SELECT ON system.detached_parts,
    SELECT ON system.parts,
    INSERT, SHOW COLUMNS ON whatchanged.audit_events,
    INSERT, SHOW COLUMNS ON whatchanged.change_revisions,
    INSERT, SHOW COLUMNS ON whatchanged.changes,
    INSERT, SHOW COLUMNS ON whatchanged.deliveries,
    INSERT, SHOW COLUMNS ON whatchanged.incidents,
    INSERT, SHOW COLUMNS ON whatchanged.org_usage,
    INSERT, SHOW COLUMNS ON whatchanged.payloads,
    INSERT, SHOW COLUMNS ON whatchanged.receipts,
    INSERT, SHOW COLUMNS ON whatchanged.token_uses,
    ALTER DELETE ON whatchanged.change_revisions,
    ALTER DELETE ON whatchanged.changes,
    ALTER DELETE ON whatchanged.deliveries,
    ALTER DELETE ON whatchanged.payloads,
    ALTER DELETE ON whatchanged.receipts,
    CHECK, ALTER DELETE ON whatchanged.audit_events,
    CHECK, ALTER DELETE ON whatchanged.change_revisions,
    CHECK, ALTER DELETE ON whatchanged.changes,
    CHECK, ALTER DELETE ON whatchanged.deliveries,
    CHECK, ALTER DELETE ON whatchanged.incidents,
    CHECK, ALTER DELETE ON whatchanged.org_usage,
    CHECK, ALTER DELETE ON whatchanged.payloads,
    CHECK, ALTER DELETE ON whatchanged.receipts,
    CHECK, ALTER DELETE ON whatchanged.replay_differences,
    CHECK, ALTER DELETE ON whatchanged.token_uses
    TO whatchanged_writer_role WITH REPLACE OPTION;

CREATE USER OR REPLACE whatchanged_writer IDENTIFIED WITH sha256_hash BY {writer_sha256:String}
    DEFAULT ROLE whatchanged_writer_role SETTINGS PROFILE 'whatchanged_writer';

GRANT whatchanged_writer_role TO whatchanged_writer;

CREATE SETTINGS PROFILE OR REPLACE whatchanged_migrate SETTINGS
    async_insert = 0,
    max_execution_time = 0;

CREATE ROLE IF NOT EXISTS whatchanged_migrate_role;

GRANT
    SELECT, INSERT, SHOW, CREATE DATABASE, CREATE TABLE, ALTER ADD COLUMN, ALTER ADD INDEX, ALTER SETTINGS, ALTER TTL ON whatchanged.*,
    SELECT ON system.databases,
    SELECT ON system.tables,
    SELECT ON system.columns,
    TABLE ENGINE ON ReplacingMergeTree,
    TABLE ENGINE ON MergeTree
    TO whatchanged_migrate_role WITH REPLACE OPTION;

CREATE USER OR REPLACE whatchanged_migrate IDENTIFIED WITH sha256_hash BY {migrate_sha256:String}
    DEFAULT ROLE whatchanged_migrate_role SETTINGS PROFILE 'whatchanged_migrate';

GRANT whatchanged_migrate_role TO whatchanged_migrate;

CREATE SETTINGS PROFILE OR REPLACE whatchanged_backup SETTINGS
    async_insert = 0,
    max_execution_time = 0;

CREATE ROLE IF NOT EXISTS whatchanged_backup_role;

GRANT
    SELECT, INSERT, SHOW, BACKUP, CREATE DATABASE, CREATE TABLE, DROP DATABASE, DROP TABLE ON whatchanged.*,
    SELECT, INSERT, SHOW, BACKUP, CREATE DATABASE, CREATE TABLE, DROP DATABASE, DROP TABLE ON whatchanged_restoring.*,
    SELECT ON system.backups,
    SELECT ON system.databases,
    SELECT ON system.tables,
    S3 ON *.*,
    TABLE ENGINE ON *
    TO whatchanged_backup_role WITH REPLACE OPTION;

CREATE USER OR REPLACE whatchanged_backup IDENTIFIED WITH sha256_hash BY {backup_sha256:String}
    DEFAULT ROLE whatchanged_backup_role SETTINGS PROFILE 'whatchanged_backup';

GRANT whatchanged_backup_role TO whatchanged_backup;

CREATE SETTINGS PROFILE OR REPLACE whatchanged_grafana SETTINGS
    readonly = 2,
    allow_ddl = 0 CONST,
    max_memory_usage = 536870912 CONST,
    max_memory_usage_for_user = 1073741824 CONST,
    max_execution_time = 20 MAX 20,
    max_rows_to_read = 1000000000 CONST,
    max_concurrent_queries_for_user = 8 CONST;

CREATE ROLE IF NOT EXISTS whatchanged_grafana_role;

GRANT
    SELECT ON whatchanged.changes,
    SELECT ON whatchanged.deliveries,
    SELECT ON whatchanged.incidents,
    SELECT ON whatchanged.receipts
    TO whatchanged_grafana_role WITH REPLACE OPTION;

CREATE USER OR REPLACE whatchanged_grafana IDENTIFIED WITH sha256_hash BY {grafana_sha256:String}
    DEFAULT ROLE whatchanged_grafana_role SETTINGS PROFILE 'whatchanged_grafana';

GRANT whatchanged_grafana_role TO whatchanged_grafana;

CREATE QUOTA OR REPLACE whatchanged_grafana KEYED BY user_name FOR INTERVAL 1 minute MAX queries = 600, read_rows = 10000000000, execution_time = 300 TO whatchanged_grafana_role;
