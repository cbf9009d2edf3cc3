SELECT org, occurred_at, id, created_at, service_id, service_name, change_type, action, status, summary, description, source, environment, risk_level, risk_hints, changed_by, actor_id, actor_name, actor_type, resource_type, resource_id, resource_name, resource_url, repository, commit_sha, commit_message, branch, software_version, pr_number, pr_url, pipeline_url, account, region, external_id, correlation_id, session_id, tags, metadata, source_id, delivery_id, record_index, provider, normalizer, normalizer_version, detected_by
FROM changes FINAL
PREWHERE org = {org:String}
  AND (occurred_at, id) IN (
    SELECT fromUnixTimestamp64Milli(key.1, 'UTC'), toFixedString(unhex(key.2), 16)
    FROM (SELECT arrayJoin(arrayZip({times:Array(Int64)}, {ids:Array(String)})) AS key))
ORDER BY occurred_at DESC, id DESC
