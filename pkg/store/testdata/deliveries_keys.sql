SELECT received_at AS at, id FROM deliveries FINAL
WHERE org = {org:String}
  AND source_id = {source_id:String}
  AND provider = {provider:String}
  AND detected_by = {detected_by:String}
  AND outcome = {outcome:String}
  AND identity = {identity:String}
ORDER BY received_at DESC, id DESC
LIMIT {limit:UInt32}
