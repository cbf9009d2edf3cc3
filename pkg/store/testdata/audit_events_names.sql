SELECT object_type, object_id,
  argMax(object_name, (created_at, id)) AS name,
  argMaxIf(action, (created_at, id), action != 'info') AS last
FROM audit_events FINAL
WHERE org = {org:String}
  AND object_id IN {ids:Array(String)}
  AND outcome = 'done'
GROUP BY object_type, object_id
