import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { ConnectionError, ImmutableClient, ProblemError, WhatchangedClient } from "../dist/index.js";
import { hangUp, say, serve, silence } from "./server.mjs";

const apiKey = "imk_sk_a1b2c3d4e5f6g7h8i9j0";
const created = say(201, { data: { id: "chg_1" } });

// S4-7, S4-8
test("track sends who did what as one event", async (t) => {
  const { baseUrl, asked } = await serve(t, created);
  const client = new ImmutableClient({ apiKey, baseUrl: baseUrl + "/" });
  const recorded = await client
    .actor("eng_k4m8p2", { name: "Priya Sharma", type: "engineer" })
    .session("sess_b2c3d4e5")
    .track("config.changed", "service", { service: "api-gateway", n: 1847, list: ["a"] }, { resource_name: "API Gateway" });
  assert.equal(recorded.id, "chg_1");
  assert.equal(`${asked[0].method} ${asked[0].url}`, "POST /api/v1/events");
  assert.equal(asked[0].headers.authorization, `Bearer ${apiKey}`);
  assert.equal(asked[0].headers["content-type"], "application/json");
  assert.deepEqual(asked[0].body, {
    actor_id: "eng_k4m8p2",
    actor_name: "Priya Sharma",
    actor_type: "engineer",
    session_id: "sess_b2c3d4e5",
    action: "config.changed",
    resource: "service",
    resource_name: "API Gateway",
    metadata: { service: "api-gateway", n: 1847, list: ["a"] },
  });
});

test("an actor can be kept, and a session does not stick to it", async (t) => {
  const { baseUrl, asked } = await serve(t, created);
  const actor = new WhatchangedClient({ apiKey, baseUrl }).actor("a");
  await actor.session("s").track("x.y", "z");
  await actor.track("x.y", "z");
  assert.deepEqual(asked.map((a) => a.body.session_id), ["s", undefined]);
  assert.deepEqual(asked[1].body, { actor_id: "a", action: "x.y", resource: "z", metadata: {} });
});

test("what may help is sent again, the same to the byte and by the same key", async (t) => {
  const { baseUrl, asked } = await serve(t, say(503, {}, { "Retry-After": "0" }), hangUp, say(429, {}), created);
  const client = new ImmutableClient({ apiKey, baseUrl });
  await client.actor("a").track("x.y", "z");
  await client.actor("a").track("x.y", "z", {}, { idempotency_key: "build-4711" });
  const keys = asked.map((a) => a.headers["idempotency-key"]);
  assert.equal(new Set(asked.map((a) => a.text)).size, 1);
  assert.equal(new Set(keys.slice(0, 4)).size, 1);
  assert.match(keys[0], /^[0-9a-f-]{36}$/);
  assert.equal(keys[4], "build-4711");
});

test("Retry-After is heeded, as seconds and as a date", async (t) => {
  const inTwo = new Date(Date.now() + 2000).toUTCString();
  const { baseUrl, asked } = await serve(t, say(429, {}, { "Retry-After": "1" }), say(503, {}, { "Retry-After": inTwo }), created);
  const began = Date.now();
  await new ImmutableClient({ apiKey, baseUrl }).actor("a").track("x.y", "z");
  assert.equal(asked.length, 3);
  assert.ok(Date.now() - began >= 990, "it came back sooner than it was asked to");
});

test("who asks for more patience than is reasonable is not waited for", async (t) => {
  const { baseUrl, asked } = await serve(t, say(429, { reason: "rate_limited" }, { "Retry-After": "3600" }));
  await assert.rejects(new ImmutableClient({ apiKey, baseUrl }).getEvents(), (e) => e.retryAfterMs === 3600_000);
  assert.equal(asked.length, 1);
});

test("a refusal is told in the server's words, and not tried again", async (t) => {
  const refusal = { title: "Malformed request", status: 400, detail: "limit: expected number <= 100", reason: "invalid_limit", field: "limit" };
  const { baseUrl, asked } = await serve(t, say(400, refusal, { "X-Request-Id": "req_1" }));
  await assert.rejects(new ImmutableClient({ apiKey, baseUrl }).getEvents({ limit: 101 }), (e) => {
    assert.ok(e instanceof ProblemError);
    const { status, title, detail, reason, field, requestId } = e;
    assert.deepEqual({ title, status, detail, reason, field }, refusal);
    assert.equal(requestId, "req_1");
    assert.equal(e.message, "limit: expected number <= 100 (400 invalid_limit)");
    return true;
  });
  assert.equal(asked.length, 1);
});

test("a server that stays away is an error after as many tries as asked for", async (t) => {
  const { baseUrl, asked } = await serve(t, hangUp);
  const client = new ImmutableClient({ apiKey, baseUrl, tries: 2 });
  await assert.rejects(client.actor("a").track("x.y", "z"), ConnectionError);
  assert.equal(asked.length, 2);
  await assert.rejects(new ImmutableClient({ apiKey, baseUrl: "http://127.0.0.1:1", tries: 1 }).getEvents(), /ECONNREFUSED|bad port/);
});

test("a server that does not answer is given up", async (t) => {
  const { baseUrl } = await serve(t, silence);
  const client = new ImmutableClient({ apiKey, baseUrl, tries: 1, timeoutMs: 50 });
  await assert.rejects(client.getEvents(), /GET http.*\/api\/v1\/events: no answer within 50 ms/);
});

test("the key goes nowhere else", async (t) => {
  const other = await serve(t, created);
  const { baseUrl } = await serve(t, say(307, "", { Location: other.baseUrl + "/" }));
  const client = new ImmutableClient({ apiKey, baseUrl });
  await assert.rejects(client.actor("a").track("x.y", "z"), (e) => e instanceof ProblemError && e.status === 307);
  assert.equal(other.asked.length, 0);
  assert.ok(!inspect(client, { depth: 9, showHidden: true }).includes(apiKey));
  assert.ok(!JSON.stringify(client).includes(apiKey));
});

test("an answer that is not this API's is no success", async (t) => {
  const { baseUrl } = await serve(t, say(200, "<html>hello</html>"));
  await assert.rejects(new ImmutableClient({ apiKey, baseUrl }).getEvents(), /does not answer as this API does/);
});

test("what cannot work is said when the client is made", () => {
  assert.throws(() => new ImmutableClient({ apiKey, baseUrl: "example.com" }), /baseUrl/);
  assert.throws(() => new ImmutableClient({ apiKey, baseUrl: "ftp://example.com" }), /baseUrl/);
  assert.throws(() => new ImmutableClient({ baseUrl: "http://example.com" }), /apiKey/);
  assert.throws(() => new ImmutableClient({ apiKey: apiKey + "\n", baseUrl: "http://example.com" }), (e) => !e.message.includes(apiKey));
  assert.throws(() => new ImmutableClient({ apiKey, baseUrl: "http://example.com" }).actor(""), /an actor has an id/);
});

// S4-39
test("getEvents asks by the API's names, and allEvents goes through the pages", async (t) => {
  const page = (ids, next) => say(200, { data: ids.map((id) => ({ id })), meta: { has_more: next !== "", next_cursor: next } });
  const { baseUrl, asked } = await serve(t, page(["1", "2"], "c1"), page(["3"], ""));
  const client = new ImmutableClient({ apiKey, baseUrl });
  const ids = [];
  for await (const event of client.allEvents({ resource_id: "api gateway", limit: 2, start_date: new Date(0), actor_id: undefined })) {
    ids.push(event.id);
  }
  assert.deepEqual(ids, ["1", "2", "3"]);
  assert.equal(asked[0].url, "/api/v1/events?resource_id=api+gateway&limit=2&start_date=1970-01-01T00%3A00%3A00.000Z");
  assert.match(asked[1].url, /&cursor=c1$/);
});
