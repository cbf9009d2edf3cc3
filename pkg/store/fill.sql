INSERT INTO changes (org, occurred_at, id, version, created_at, service_id, service_name, change_type, action, status,
    summary, description, source, environment, risk_level, risk_hints, changed_by, actor_id, actor_name, actor_type,
    resource_type, resource_id, repository, commit_sha, branch, software_version, external_id, tags, metadata,
    source_id, delivery_id, provider, normalizer, normalizer_version, detected_by, chain, frame_no, place)
WITH
    -- Of one number, as many unrelated ones as there are fields.
    cityHash64(number, 1) AS a, cityHash64(number, 2) AS b, cityHash64(number, 3) AS c,
    {first:Int64} + toInt64(number * {step:Float64}) AS ms,
    leftPad(lower(hex(ms)), 16, '0') AS hex_ms,
    ['deployment', 'code', 'config_change', 'infrastructure', 'access_change', 'feature_flag', 'scaling', 'rollback'] AS types,
    ['github', 'gitlab', 'cloudtrail', 'azure', 'gcp', 'jenkins'] AS sources,
    ['api', 'web', 'billing', 'search', 'ledger', 'mail', 'auth', 'cart', 'stock', 'pay'] AS names,
    names[1 + a % 10] AS name, a % 200 AS service, b % 2000 AS person, sources[1 + c % 6] AS provider_name
SELECT
    {orgs:Array(String)}[1 + number % length({orgs:Array(String)})],
    fromUnixTimestamp64Milli(ms, 'UTC'),
    unhex(substring(hex_ms, 5, 12) || substring(hex(a) || hex(b) || hex(c), 1, 20)),
    bitShiftLeft(toUInt64(1), 48) - 1 - (ms + 1500),
    fromUnixTimestamp64Milli(ms + 1500, 'UTC'),
    'svc_' || toString(service), name || '-' || toString(service),
    types[1 + b % 8], types[1 + b % 8] || '.done', ['succeeded', 'succeeded', 'succeeded', 'failed', 'started'][1 + c % 5],
    'Deploy ' || name || ' v' || toString(b % 40) || '.' || toString(c % 100) || ' to production, build ' || toString(number),
    'Change number ' || toString(number) || ' of a made-up company', provider_name, ['production', 'staging', 'development'][1 + c % 3],
    ['low', 'medium', 'high', 'critical'][1 + b % 4], if(b % 4 > 1, ['production'], []),
    'user' || toString(person) || '@example.com', toString(person), 'User ' || toString(person), 'user',
    'service', name, 'acme/' || name || '-' || toString(service), lower(hex(SHA1(toString(number)))),
    if(c % 4 = 0, 'feature/' || toString(c % 5000), 'main'), 'v' || toString(b % 40) || '.' || toString(c % 100),
    toString(a), ['team:' || toString(a % 20), 'tier:' || toString(b % 3)],
    '{"build":' || toString(number) || ',"duration_s":' || toString(c % 900) || '}',
    'src_' || toString(c % 10), unhex(substring(leftPad(lower(hex(ms + 1500)), 16, '0'), 5, 12) || substring(hex(c) || hex(a) || hex(b), 1, 20)),
    provider_name, provider_name, 1, 'header:' || provider_name, 'fill', intDiv(number, 100), number % 100
FROM numbers({from:UInt64}, {rows:UInt64})
