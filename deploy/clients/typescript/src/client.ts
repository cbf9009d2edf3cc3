import { randomUUID } from "node:crypto";

import { Batcher } from "./batch.js";
import { WhatchangedError } from "./errors.js";
import { Transport } from "./transport.js";
import type {
  ActorInfo,
  ClientOptions,
  EventFilter,
  Metadata,
  NewEvent,
  Page,
  RecordedEvent,
  TrackOptions,
  Tracked,
} from "./types.js";

/** Tells a server what happened, and asks it what did. */
export class ImmutableClient {
  readonly #transport: Transport;
  readonly #batcher: Batcher | undefined;

  constructor(options: ClientOptions) {
    this.#transport = new Transport(options);
    this.#batcher = options.batch && new Batcher(this.#transport, options.batch);
  }

  /** Names who did what is tracked next. */
  actor(id: string, info: ActorInfo = {}): Actor {
    return new Actor(this, { actor_id: id, actor_name: info.name, actor_type: info.type });
  }

  /**
   * Records an event. The promise resolves when the server has it on disk. With
   * batching, that is after a flush; it may be left alone then, as onError is told as well.
   */
  track(event: NewEvent, idempotencyKey?: string): Promise<Tracked> {
    // Not an async function: that would make another promise of it, which somebody must wait for.
    return this.#batcher && idempotencyKey === undefined ? this.#batcher.add(event) : this.#record(event, idempotencyKey);
  }

  async #record(event: NewEvent, idempotencyKey = randomUUID()): Promise<RecordedEvent> {
    const answer = await this.#transport.send<{ data: RecordedEvent }>({
      method: "POST",
      path: "/api/v1/events",
      body: JSON.stringify(event),
      idempotencyKey,
    });
    return answer.data;
  }

  /** Lists events, newest first. */
  getEvents(filter: EventFilter = {}): Promise<Page<RecordedEvent>> {
    return this.#transport.send({ method: "GET", path: "/api/v1/events", query: filter });
  }

  /** Goes through every event that matches, page by page. */
  async *allEvents(filter: EventFilter = {}): AsyncGenerator<RecordedEvent, void, undefined> {
    for (let next: EventFilter | undefined = filter; next; ) {
      const page: Page<RecordedEvent> = await this.getEvents(next);
      yield* page.data;
      const cursor: string | undefined = page.meta.next_cursor;
      next = page.meta.has_more && cursor ? { ...filter, offset: undefined, cursor } : undefined;
    }
  }

  /** Sends what waits, and resolves when the server has it; rejects with the first event's error otherwise. */
  async flush(): Promise<void> {
    await this.#batcher?.flush();
  }

  /** Flushes; whatever is tracked afterwards is refused. */
  async close(): Promise<void> {
    await this.#batcher?.close();
  }
}

export { ImmutableClient as WhatchangedClient };

/** Somebody, perhaps in a session, who does things. It can be kept and used again. */
export class Actor {
  readonly #client: ImmutableClient;
  readonly #who: Pick<NewEvent, "actor_id" | "actor_name" | "actor_type" | "session_id">;

  constructor(client: ImmutableClient, who: Pick<NewEvent, "actor_id" | "actor_name" | "actor_type" | "session_id">) {
    if (!who.actor_id) {
      throw new WhatchangedError("an actor has an id");
    }
    this.#client = client;
    this.#who = who;
  }

  /** Names the session that what is tracked next is part of. */
  session(id: string): Actor {
    return new Actor(this.#client, { ...this.#who, session_id: id });
  }

  /** Records that the actor did action to a resource: track("config.changed", "service", {service: "api-gateway"}). */
  track(action: string, resource: string, metadata: Metadata = {}, options: TrackOptions = {}): Promise<Tracked> {
    const { idempotency_key, ...more } = options;
    return this.#client.track({ ...this.#who, action, resource, metadata, ...more }, idempotency_key);
  }
}
