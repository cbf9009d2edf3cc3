SELECT org, source_id, identity,
    argMin(id, (received_at, id)) AS first_id,
    argMin(first_received, (received_at, id)) AS first,
    argMin(body_hash, (received_at, id)) AS hash,
    argMin(chain, (received_at, id)) AS first_chain,
    argMin(frame_no, (received_at, id)) AS first_frame,
    argMin(place, (received_at, id)) AS first_place
FROM (
    SELECT org, source_id, identity, received_at, id,
        argMax(deliveries.first_received, version) AS first_received,
        argMax(deliveries.body_hash, version) AS body_hash,
        argMax(deliveries.chain, version) AS chain,
        argMax(deliveries.frame_no, version) AS frame_no,
        argMax(deliveries.place, version) AS place,
        argMax(deliveries.outcome, version) AS outcome
    FROM deliveries
    WHERE org IN {orgs:Array(String)}
      AND identity IN {identities:Array(String)}
    GROUP BY org, source_id, identity, received_at, id
)
WHERE outcome != 'dead'
GROUP BY org, source_id, identity
