SELECT org, created_at, id, key_id, scopes, method, target, user_id
FROM token_uses FINAL
WHERE org = {org:String}
  AND has(scopes, {scope:String})
  AND created_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND created_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
ORDER BY created_at DESC, id DESC
LIMIT {limit:UInt32}
