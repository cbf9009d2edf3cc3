import assert from "node:assert/strict";
import { test } from "node:test";

import { ImmutableClient, ProblemError } from "../dist/index.js";
import { hangUp, say, serve, takeAll } from "./server.mjs";

const apiKey = "imk_sk_a1b2c3d4e5f6g7h8i9j0";
const later = 60_000; // an interval that does not pass in a test

test("a full batch goes at once, and each promise has its own event", async (t) => {
  const { baseUrl, asked } = await serve(t, takeAll);
  const actor = new ImmutableClient({ apiKey, baseUrl, batch: { size: 2, intervalMs: later } }).actor("a");
  const recorded = await Promise.all(["x.1", "x.2", "x.3", "x.4"].map((action) => actor.track(action, "r")));
  assert.deepEqual(recorded.map((r) => r.id), ["chg_x.1", "chg_x.2", "chg_x.3", "chg_x.4"]);
  assert.deepEqual(asked.map((a) => `${a.method} ${a.url} ${a.body.data.length}`), Array(2).fill("POST /api/v1/events/bulk 2"));
  assert.notEqual(asked[0].headers["idempotency-key"], asked[1].headers["idempotency-key"]);
});

test("what waits goes when the interval is over", async (t) => {
  const { baseUrl, asked } = await serve(t, takeAll);
  const actor = new ImmutableClient({ apiKey, baseUrl, batch: { intervalMs: 10 } }).actor("a");
  await actor.track("x.1", "r");
  await actor.track("x.2", "r");
  assert.equal(asked.length, 2);
});

test("an event happened when it was tracked, as it was then", async (t) => {
  const { baseUrl, asked } = await serve(t, takeAll);
  const client = new ImmutableClient({ apiKey, baseUrl, batch: { intervalMs: later } });
  const metadata = { n: 1 };
  const before = Date.now();
  client.actor("a").track("x.y", "r", metadata);
  const after = Date.now();
  metadata.n = 2;
  await client.flush();
  const [event] = asked[0].body.data;
  assert.ok(before <= Date.parse(event.occurred_at) && Date.parse(event.occurred_at) <= after);
  assert.equal(event.metadata.n, 1);
});

test("a batch is sent again with the same key", async (t) => {
  const { baseUrl, asked } = await serve(t, hangUp, say(503, {}), takeAll);
  const client = new ImmutableClient({ apiKey, baseUrl, batch: { intervalMs: later } });
  const recorded = client.actor("a").track("x.y", "r");
  await client.close();
  await recorded;
  assert.equal(asked.length, 3);
  assert.equal(new Set(asked.map((a) => a.headers["idempotency-key"] + a.text)).size, 1);
});

test("one event that is refused does not take the others along, and nobody need listen", async (t) => {
  const { baseUrl } = await serve(t, (req, res) =>
    say(207, { data: [{ status: 201, data: { id: "chg_1" } }, { status: 400, error: { detail: "action: no", reason: "invalid_action", field: "action" } }] })(req, res),
  );
  const told = [];
  const client = new ImmutableClient({ apiKey, baseUrl, batch: { intervalMs: later, onError: (e, event) => told.push([e.field, event.action]) } });
  const good = client.actor("a").track("x.y", "r");
  client.actor("a").track("bad", "r"); // left alone
  await assert.rejects(client.flush(), (e) => e instanceof ProblemError && e.status === 400 && e.reason === "invalid_action");
  assert.equal((await good).id, "chg_1");
  assert.deepEqual(told, [["action", "bad"]]);
});

test("events that cannot be sent are told of, one by one", async (t) => {
  const { baseUrl } = await serve(t, say(401, { detail: "no such key", reason: "unknown_key" }));
  const told = [];
  const client = new ImmutableClient({ apiKey, baseUrl, batch: { intervalMs: later, onError: (e, event) => told.push(`${event.action} ${e.status}`) } });
  client.actor("a").track("x.1", "r");
  client.actor("a").track("x.2", "r");
  await assert.rejects(client.close(), /no such key/);
  assert.deepEqual(told, ["x.1 401", "x.2 401"]);
});

test("the queue has an end, and a closed client takes nothing", async (t) => {
  const { baseUrl } = await serve(t, takeAll);
  const client = new ImmutableClient({ apiKey, baseUrl, batch: { maxQueued: 1, intervalMs: later, onError: () => {} } });
  const first = client.actor("a").track("x.1", "r");
  await assert.rejects(client.actor("a").track("x.2", "r"), /1 events wait already/);
  await client.close();
  await first;
  await assert.rejects(client.actor("a").track("x.3", "r"), /closed/);
});

test("what is tracked as an answer to a batch is not forgotten", async (t) => {
  const { baseUrl, asked } = await serve(t, takeAll);
  const actor = new ImmutableClient({ apiKey, baseUrl, batch: { size: 1, intervalMs: later } }).actor("a");
  for (let i = 0; i < 5; i++) {
    await actor.track(`x.${i}`, "r");
  }
  assert.equal(asked.length, 5);
});

test("large events go in several batches", async (t) => {
  const { baseUrl, asked } = await serve(t, takeAll);
  const client = new ImmutableClient({ apiKey, baseUrl, batch: { size: 1000, intervalMs: later } });
  for (let i = 0; i < 100; i++) {
    client.actor("a").track("x.y", "r", { text: "x".repeat(60_000) });
  }
  await client.close();
  assert.ok(asked.length > 1 && asked.every((a) => a.text.length < 16 << 20));
  assert.equal(asked.flatMap((a) => a.body.data).length, 100);
});

test("an event with a key of its own goes alone", async (t) => {
  const { baseUrl, asked } = await serve(t, say(201, { data: { id: "chg_1" } }));
  const client = new ImmutableClient({ apiKey, baseUrl, batch: { intervalMs: later } });
  await client.actor("a").track("x.y", "r", {}, { idempotency_key: "build-4711" });
  assert.equal(asked[0].url, "/api/v1/events");
  assert.equal(asked[0].headers["idempotency-key"], "build-4711");
});
