SELECT n, max(alike = 1) AS before,
    argMax(version, (at, created)) AS last_version,
    argMax(commit, (at, created)) AS last_commit,
    max((at, created)).1 AS last_at,
    max((at, created)).2 AS last_created
FROM (
    SELECT asked.n AS n, e.at AS at, e.created AS created, e.version AS version, e.commit AS commit,
        e.operation = asked.operation AS operation_alike, e.operation AS operation,
        asked.status = 'succeeded' AND e.status = 'started' AS ends,
        multiIf(
            match(e.version, {release:String}) AND match(asked.version, {release:String}), e.version = asked.version,
            e.commit != '' AND asked.commit != '', e.commit = asked.commit
                OR least(length(e.commit), length(asked.commit)) >= {short:UInt8}
                AND (startsWith(e.commit, asked.commit) OR startsWith(asked.commit, e.commit)),
            e.version != '' AND asked.version != '', e.version = asked.version,
            -1) AS alike
    FROM (
        SELECT org, toString(id) AS id, occurred_at AS at, created_at AS created, toString(environment) AS environment, status,
            correlation_id AS operation, software_version AS version, lower(commit_sha) AS commit,
            multiIf(service_id != '', concat('service ', service_id), repository != '', concat('repository ', repository),
                concat('resource ', resource_id)) AS subject
        FROM changes
        WHERE org IN {org:Array(String)}
          AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
          AND occurred_at <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')
          AND change_type IN ('deployment', 'rollback')
          AND is_deleted = 0
          AND (status IN ('started', 'succeeded')
            OR status = '' AND NOT has({idle:Array(String)}, arrayElement(splitByChar('.', toString(action)), -1)))
          AND environment IN {environment:Array(String)}
          AND (software_version != '' OR commit_sha != '')
          AND subject IN {subject:Array(String)}
    ) AS e
    INNER JOIN (
        SELECT d.1 AS n, d.2 AS org, d.3 AS subject, d.4 AS environment, d.5 AS version, d.6 AS commit, d.7 AS operation, d.8 AS status,
            fromUnixTimestamp64Milli(d.9, 'UTC') AS at, fromUnixTimestamp64Milli(d.10, 'UTC') AS created, unhex(d.11) AS id
        FROM (SELECT arrayJoin(arrayZip({n:Array(UInt32)}, {org:Array(String)}, {subject:Array(String)}, {environment:Array(String)},
            {version:Array(String)}, {commit:Array(String)}, {operation:Array(String)}, {status:Array(String)},
            {at:Array(Int64)}, {created:Array(Int64)}, {id:Array(String)})) AS d)
    ) AS asked
    ON e.org = asked.org AND e.subject = asked.subject AND e.environment = asked.environment
    WHERE (e.at, e.created) < (asked.at, asked.created)
      AND e.at >= asked.at - toIntervalSecond({window:UInt32})
      AND e.id != asked.id
)
WHERE NOT (operation_alike AND (operation != '' OR ends AND alike = 1))
GROUP BY n
