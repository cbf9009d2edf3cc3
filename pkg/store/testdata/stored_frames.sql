SELECT frame_no,
    arraySort(groupUniqArrayIf(place, is_delivery)) AS deliveries,
    arraySort(groupUniqArrayIf(place, NOT is_delivery)) AS payloads
FROM (
    SELECT frame_no, place, true AS is_delivery FROM deliveries
    WHERE chain = {chain:String} AND frame_no BETWEEN {from:UInt64} AND {to:UInt64}
    UNION ALL
    SELECT frame_no, place, false AS is_delivery FROM payloads
    WHERE chain = {chain:String} AND frame_no BETWEEN {from:UInt64} AND {to:UInt64}
)
GROUP BY frame_no
