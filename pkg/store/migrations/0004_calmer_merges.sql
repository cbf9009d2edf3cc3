-- 0004: a part costs by the file, since each is synced, and by how often it is
-- written again. So parts stay in one file until they are large; sixteen parts
-- become one, not five, and a row is merged half as often; and no
-- statistics of every column are kept that no query of ours uses.
ALTER TABLE {{.Local "changes"}}{{.OnCluster}} MODIFY SETTING {{.Calm}};
ALTER TABLE {{.Local "deliveries"}}{{.OnCluster}} MODIFY SETTING {{.Calm}};
ALTER TABLE {{.Local "payloads"}}{{.OnCluster}} MODIFY SETTING {{.Calm}};
