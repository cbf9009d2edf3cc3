import { randomUUID } from "node:crypto";

import { ProblemError, WhatchangedError } from "./errors.js";
import type { Transport } from "./transport.js";
import type { BatchOptions, NewEvent, Tracked } from "./types.js";

const largestBatch = 1000; // events, the server's limit
const largestBody = 8_000_000; // bytes of JSON, half of the server's limit

interface Waiting {
  event: NewEvent;
  json: string;
  resolve: (recorded: Tracked) => void;
  reject: (error: Error) => void;
}

interface Item {
  status: number;
  data?: Tracked;
  error?: unknown;
}

/** Gathers events and sends them together, one batch after the other, in order. */
export class Batcher {
  readonly #transport: Transport;
  readonly #size: number;
  readonly #intervalMs: number;
  readonly #maxQueued: number;
  readonly #onError: (error: Error, event: NewEvent) => void;
  #queue: Waiting[] = [];
  #inFlight = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending: Promise<Error | undefined> | undefined;
  #closed = false;

  constructor(transport: Transport, options: BatchOptions) {
    this.#transport = transport;
    this.#size = Math.min(largestBatch, Math.max(1, options.size ?? 100));
    this.#intervalMs = options.intervalMs ?? 1000;
    this.#maxQueued = options.maxQueued ?? 10_000;
    this.#onError =
      options.onError ?? ((error, event) => console.error(`whatchanged: ${event.action} was not recorded: ${error.message}`));
  }

  add(event: NewEvent): Promise<Tracked> {
    const promise = new Promise<Tracked>((resolve, reject) => {
      if (this.#closed) {
        throw new WhatchangedError("the client is closed");
      }
      if (this.#queue.length + this.#inFlight >= this.#maxQueued) {
        throw new WhatchangedError(`${this.#maxQueued} events wait already: the server cannot be reached, or is too slow`);
      }
      // It happened now, not when the batch is sent; and what the caller changes
      // in metadata afterwards did not happen.
      const json = JSON.stringify({ ...event, occurred_at: event.occurred_at ?? new Date() });
      this.#queue.push({ event, json, resolve, reject });
    });
    promise.catch((error: Error) => this.#onError(error, event)); // and nobody need wait for the promise
    if (this.#queue.length >= this.#size) {
      void this.flush().catch(() => {}); // each event's error is told where it belongs
    } else if (this.#queue.length > 0) {
      // Not unref'd: a program that has nothing else to do waits for its events.
      this.#timer ??= setTimeout(() => void this.flush().catch(() => {}), this.#intervalMs);
    }
    return promise;
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#sending && this.#queue.length === 0) {
      return;
    }
    // Who flushes while a batch is under way waits for that one and for the rest.
    this.#sending ??= this.#drain();
    const error = await this.#sending;
    if (error) {
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
  }

  /** Sends until nothing waits, and returns the first error. */
  async #drain(): Promise<Error | undefined> {
    let first: Error | undefined;
    for (let batch = this.#take(); batch.length > 0; batch = this.#take()) {
      this.#inFlight = batch.length;
      const error = await this.#send(batch);
      this.#inFlight = 0;
      first ??= error;
    }
    // At once, not when the promise settles: what is added in between would wait for a drain that is over.
    this.#sending = undefined;
    return first;
  }

  #take(): Waiting[] {
    let bytes = 0;
    let n = 0;
    while (n < this.#queue.length && n < this.#size) {
      bytes += 3 * this.#queue[n]!.json.length; // a UTF-16 unit is at most three bytes
      if (n > 0 && bytes > largestBody) {
        break;
      }
      n++;
    }
    return this.#queue.splice(0, n);
  }

  async #send(batch: Waiting[]): Promise<Error | undefined> {
    let items: Item[];
    try {
      const answer = await this.#transport.send<{ data: Item[] }>({
        method: "POST",
        path: "/api/v1/events/bulk",
        body: `{"data":[${batch.map((waiting) => waiting.json).join(",")}]}`,
        idempotencyKey: randomUUID(),
      });
      items = answer.data;
    } catch (error) {
      for (const waiting of batch) {
        waiting.reject(error as Error);
      }
      return error as Error;
    }
    let first: Error | undefined;
    batch.forEach((waiting, i) => {
      const item = items[i];
      if (item?.data) {
        waiting.resolve(item.data);
        return;
      }
      const error = new ProblemError(item?.status ?? 0, item?.error);
      first ??= error;
      waiting.reject(error);
    });
    return first;
  }
}
