SELECT occurred_at AS at, id, count() OVER () AS total FROM changes FINAL
WHERE org = {org:String}
  AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
ORDER BY occurred_at DESC, id DESC
LIMIT {limit:UInt32}
