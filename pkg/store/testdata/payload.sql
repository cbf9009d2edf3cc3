SELECT org, received_at, id, source_id, identity, header, body, lane, chain, frame_no, place, provider, service_id, service_name
FROM payloads FINAL
WHERE org = {org:String}
  AND received_at = fromUnixTimestamp64Milli({at:Int64}, 'UTC')
  AND id = toFixedString(unhex({id:String}), 16)
