SELECT toString(service_id) AS service,
    groupUniqArrayIf(by, (service, by) IN (SELECT arrayJoin(arrayZip({services:Array(String)}, {actors:Array(String)})))) AS actors
FROM (
    SELECT service_id,
        multiIf(changed_by != '', toString(changed_by), actor_name != '', toString(actor_name), toString(actor_id)) AS by
    FROM changes
    WHERE org = {org:String}
      AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
      AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
      AND is_deleted = 0
      AND service_id IN {services:Array(String)}
)
GROUP BY service
