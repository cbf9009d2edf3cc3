SELECT source_id, min(first_at) AS first, max(last_at) AS last, sum(count) AS n,
    arrayMax(arrayConcat([toInt64(0)], arrayPopFront(arrayDifference(arraySort(groupArray(step)))))) AS pause
FROM (
    SELECT toString(source_id) AS source_id, intDiv(toUnixTimestamp64Milli(received_at), {step:Int64}) AS step,
        min(toUnixTimestamp64Milli(received_at)) AS first_at, max(toUnixTimestamp64Milli(received_at)) AS last_at, count() AS count
    FROM deliveries
    WHERE org = {org:String}
      AND received_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
      AND received_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    GROUP BY source_id, step
)
GROUP BY source_id;

SELECT toString(source_id) AS source_id,
    quantiles(0.5, 0.95)(greatest(0, toUnixTimestamp64Milli(created_at) - toUnixTimestamp64Milli(occurred_at))) AS lag
FROM changes
WHERE org = {org:String}
  AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
  AND is_deleted = 0
GROUP BY source_id;

SELECT toString(source_id) AS source_id, count() AS n
FROM deliveries FINAL
WHERE org = {org:String}
  AND received_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND received_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
  AND outcome = 'dead'
GROUP BY source_id
