SELECT intDiv(toUnixTimestamp64Milli(at), {bucket:Int64}) * {bucket:Int64} AS start, source_id,
    countIf(fate = 'stored') AS stored, countIf(fate = 'duplicate') AS duplicate,
    countIf(fate = 'ignored') AS ignored, countIf(fate = 'dead') AS dead, countIf(fate = '') AS in_flight
FROM (
    SELECT at, source_id, id, max(outcome) AS fate
    FROM (
        SELECT received_at AS at, source_id, id, toString(outcome) AS outcome FROM deliveries FINAL
        WHERE org = {org:String}
          AND source_id = {source_id:String}
          AND received_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
          AND received_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
        UNION ALL
        SELECT received_at AS at, source_id, id, '' AS outcome FROM payloads
        WHERE org = {org:String}
          AND source_id = {source_id:String}
          AND received_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
          AND received_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    )
    GROUP BY at, source_id, id
)
GROUP BY start, source_id
ORDER BY start, source_id
