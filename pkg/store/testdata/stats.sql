SELECT intDiv(toUnixTimestamp64Milli(occurred_at) + {shift:Int64}, {bucket:Int64}) * {bucket:Int64} - {shift:Int64} AS start, [source, change_type, if(service_name = '', service_id, service_name), environment, if(changed_by = '', actor_name, changed_by)] AS groups, count() AS n
FROM changes FINAL
WHERE org = {org:String}
  AND source = {source:String}
  AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
  AND (source, change_type, if(service_name = '', service_id, service_name), environment, if(changed_by = '', actor_name, changed_by)) IN (
    SELECT source, change_type, if(service_name = '', service_id, service_name), environment, if(changed_by = '', actor_name, changed_by) FROM changes FINAL
    WHERE org = {org:String}
      AND source = {source:String}
      AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
      AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    GROUP BY source, change_type, if(service_name = '', service_id, service_name), environment, if(changed_by = '', actor_name, changed_by)
    ORDER BY count() DESC, source, change_type, if(service_name = '', service_id, service_name), environment, if(changed_by = '', actor_name, changed_by)
    LIMIT {top:UInt32})
GROUP BY start, source, change_type, if(service_name = '', service_id, service_name), environment, if(changed_by = '', actor_name, changed_by)
ORDER BY start, n DESC, groups
LIMIT 100001
