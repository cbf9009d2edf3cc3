SELECT occurred_at AS at, id FROM changes FINAL
WHERE org = {org:String}
  AND service_id = {service_id:String}
  AND change_type = {change_type:String}
  AND source = {source:String}
  AND environment = {environment:String}
  AND repository = {repository:String}
  AND risk_level = {risk_level:String}
  AND status = {status:String}
  AND action = {action:String}
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
