SELECT org, occurred_at, id, created_at, service_id, service_name, change_type, action, status, summary, description, source, environment, risk_level, risk_hints, changed_by, actor_id, actor_name, actor_type, resource_type, resource_id, resource_name, resource_url, repository, commit_sha, commit_message, branch, software_version, pr_number, pr_url, pipeline_url, account, region, external_id, correlation_id, session_id, tags, metadata, source_id, delivery_id, record_index, provider, normalizer, normalizer_version, detected_by
FROM changes FINAL
WHERE org = {org:String}
  AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
ORDER BY org, occurred_at, id
