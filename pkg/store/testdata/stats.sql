SELECT intDiv(toUnixTimestamp64Milli(occurred_at) + {shift:Int64}, {bucket:Int64}) * {bucket:Int64} - {shift:Int64} AS start, (source, change_type, if(service_name = '', service_id, service_name), environment, if(changed_by = '', actor_name, changed_by), repository, risk_level, status, account, region, provider, action) IN (
    SELECT source, change_type, if(service_name = '', service_id, service_name), environment, if(changed_by = '', actor_name, changed_by), repository, risk_level, status, account, region, provider, action FROM changes FINAL
    WHERE org = {org:String}
      AND source = {source:String}
      AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
      AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    GROUP BY source, change_type, if(service_name = '', service_id, service_name), environment, if(changed_by = '', actor_name, changed_by), repository, risk_level, status, account, region, provider, action
    ORDER BY countIf(occurred_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC')) DESC, count() DESC, source, change_type, if(service_name = '', service_id, service_name), environment, if(changed_by = '', actor_name, changed_by), repository, risk_level, status, account, region, provider, action
    LIMIT {top:UInt32}) AS shown, if(shown, [source, change_type, if(service_name = '', service_id, service_name), environment, if(changed_by = '', actor_name, changed_by), repository, risk_level, status, account, region, provider, action], []) AS groups,
  countIf(occurred_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC')) AS n, countIf(NOT occurred_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC')) AS previous
FROM changes FINAL
WHERE org = {org:String}
  AND source = {source:String}
  AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
GROUP BY start, shown, groups
ORDER BY start, shown DESC, n DESC, previous DESC, groups
LIMIT 100001
