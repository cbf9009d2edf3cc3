SELECT intDiv(toInt64(toUnixTimestamp(minute)) * 1000, {bucket:Int64}) * {bucket:Int64} AS start, source_id,
    sum(greatest(counted, known)) AS received,
    sum(is_stored) AS stored, sum(is_duplicate) AS duplicate, sum(is_ignored) AS ignored,
    sum(was_dead) + sumIf(lack, frame_dead) AS dead,
    sumIf(lack, flying AND NOT frame_dead) AS in_flight,
    sumIf(lack, NOT flying AND NOT frame_dead) AS missing,
    sum(greatest(known - counted, 0)) AS uncounted,
    toInt64(toUnixTimestamp(minIf(minute, lack > 0 AND flying AND NOT frame_dead))) AS oldest
FROM (
    SELECT minute, source_id, chain, frame_no,
        max(toInt64(n)) AS counted, max(sequence) AS seq, max(dead_frame) AS frame_dead,
        toInt64(sum(n_stored)) AS is_stored, toInt64(sum(n_duplicate)) AS is_duplicate,
        toInt64(sum(n_ignored)) AS is_ignored, toInt64(sum(n_dead)) AS was_dead,
        is_stored + is_duplicate + is_ignored + was_dead AS known,
        greatest(counted - known, 0) AS lack,
        seq > {settled:UInt64} AND seq <= {on_bus:UInt64} AND minute >= toDateTime({began:Int64}, 'UTC') AS flying
    FROM (
        SELECT minute, source_id, chain, frame_no, received AS n, seq AS sequence, is_dead AS dead_frame,
            0 AS n_stored, 0 AS n_duplicate, 0 AS n_ignored, 0 AS n_dead
        FROM receipts
        WHERE org = {org:String}
          AND source_id = {source_id:String}
          AND minute >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
          AND minute < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
        UNION ALL
        SELECT toDateTime(late.1, 'UTC') AS minute, late.2 AS source_id, late.3 AS chain, late.4 AS frame_no, late.5 AS n, late.6 AS sequence, 0 AS dead_frame,
            0 AS n_stored, 0 AS n_duplicate, 0 AS n_ignored, 0 AS n_dead
        FROM (
            SELECT arrayJoin(arrayZip({late_minutes:Array(UInt32)}, {late_sources:Array(String)}, {late_chains:Array(String)},
                {late_frames:Array(UInt64)}, {late_counts:Array(UInt32)}, {late_seqs:Array(UInt64)})) AS late
        )
        UNION ALL
        SELECT toDateTime(toStartOfMinute(received_at), 'UTC') AS minute, source_id, chain, frame_no, 0 AS n, 0 AS sequence, 0 AS dead_frame,
            countIf(outcome = 'stored') AS n_stored, countIf(outcome = 'duplicate') AS n_duplicate,
            countIf(outcome = 'ignored') AS n_ignored, countIf(outcome = 'dead') AS n_dead
        FROM deliveries FINAL
        WHERE org = {org:String}
          AND source_id = {source_id:String}
          AND received_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
          AND received_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
        GROUP BY minute, source_id, chain, frame_no
    )
    GROUP BY minute, source_id, chain, frame_no
)
GROUP BY start, source_id
ORDER BY start, source_id
