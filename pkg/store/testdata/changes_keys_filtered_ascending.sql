SELECT occurred_at AS at, id FROM changes FINAL
WHERE org = {org:String}
  AND service_id = {service_id:String}
  AND change_type IN ({change_type:Array(String)})
  AND source = {source:String}
  AND environment = {environment:String}
  AND repository = {repository:String}
  AND risk_level IN ({risk_level:Array(String)})
  AND status IN ({status:Array(String)})
  AND action LIKE {action:String}
  AND actor_id = {actor_id:String}
  AND session_id = {session_id:String}
  AND correlation_id = {correlation_id:String}
  AND external_id = {external_id:String}
  AND provider = {provider:String}
  AND account = {account:String}
  AND region = {region:String}
  AND branch = {branch:String}
  AND software_version = {software_version:String}
  AND startsWith(commit_sha, {commit_sha:String})
  AND (changed_by = {actor:String} OR actor_name = {actor:String} OR actor_id = {actor:String})
  AND (resource_id = {resource:String} OR resource_name = {resource:String})
  AND has(tags, {tag:String})
  AND delivery_id = toFixedString(unhex({delivery_id:String}), 16)
  AND hasAllTokens(lowerUTF8(summary), lowerUTF8({q:String}))
  AND created_at <= fromUnixTimestamp64Milli({as_of:Int64}, 'UTC')
  AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
  AND (occurred_at, id) > (fromUnixTimestamp64Milli({after:Int64}, 'UTC'), toFixedString(unhex({after_id:String}), 16))
ORDER BY occurred_at ASC, id ASC
LIMIT {limit:UInt32}
