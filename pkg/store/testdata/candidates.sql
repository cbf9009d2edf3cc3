SELECT occurred_at, id, service_id, service_name, change_type, status, environment, risk_level,
    changed_by, actor_id, actor_name, correlation_id
FROM changes FINAL
WHERE org = {org:String}
  AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
  AND change_type != 'incident'
  AND ({as_of:Int64} = 0 OR created_at <= fromUnixTimestamp64Milli({as_of:Int64}, 'UTC'))
ORDER BY has({services:Array(String)}, service_id) DESC,
    {environment:String} != '' AND environment = {environment:String} DESC, occurred_at DESC, id DESC
LIMIT {limit:UInt32}
