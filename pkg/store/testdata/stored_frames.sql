SELECT frame_no,
    arraySort(groupArrayIf(place, is_delivery)) AS deliveries,
    arraySort(groupArrayIf(place, is_payload)) AS payloads,
    arraySort(groupArrayIf(place, found < made)) AS short,
    sum(counted) AS received
FROM (
    SELECT frame_no, place, max(kind = 1) AS is_delivery, max(kind = 2) AS is_payload,
        sumIf(n, kind = 1) AS made, sumIf(n, kind = 3) AS found, sumIf(n, kind = 4) AS counted
    FROM (
        SELECT frame_no, place, 1 AS kind, toUInt64(argMax(changes, version)) AS n FROM deliveries
        WHERE chain = {chain:String} AND frame_no BETWEEN {from:UInt64} AND {to:UInt64}
        GROUP BY frame_no, place
        UNION ALL
        SELECT DISTINCT frame_no, place, 2 AS kind, toUInt64(0) AS n FROM payloads
        WHERE chain = {chain:String} AND frame_no BETWEEN {from:UInt64} AND {to:UInt64}
        UNION ALL
        SELECT frame_no, place, 3 AS kind, uniqExact(id) AS n FROM changes
        WHERE chain = {chain:String} AND frame_no BETWEEN {from:UInt64} AND {to:UInt64}
        GROUP BY frame_no, place
        UNION ALL
        SELECT frame_no, toUInt32(0) AS place, 4 AS kind, toUInt64(max(receipts.received)) AS n FROM receipts
        WHERE chain = {chain:String} AND frame_no BETWEEN {from:UInt64} AND {to:UInt64}
        GROUP BY frame_no, org, minute, source_id
    )
    GROUP BY frame_no, place
)
GROUP BY frame_no
