SELECT created_at AS at, id FROM audit_events FINAL
WHERE org = {org:String}
  AND (outcome != 'unknown' OR created_at < fromUnixTimestamp64Milli({settled:Int64}, 'UTC'))
  AND object_type = {object_type:String}
  AND object_id = {object_id:String}
  AND action = {action:String}
  AND service_id = {service_id:String}
  AND pipeline_id = {pipeline_id:String}
  AND (user_id = {user:String} OR user_name = {user:String} OR lower(user_email) = lower({user:String}))
  AND created_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND created_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
ORDER BY created_at DESC, id DESC
LIMIT {limit:UInt32}
