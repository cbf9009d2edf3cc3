import { ConnectionError, ProblemError, WhatchangedError } from "./errors.js";
import type { ClientOptions } from "./types.js";

const longestWait = 60_000; // a server that asks for more is not waited for
const again = new Set([429, 502, 503, 504]);

interface Request {
  method: "GET" | "POST";
  path: string;
  query?: Record<string, string | number | boolean | Date | undefined>;
  /** JSON that is already written: whatever is sent again is the same to the byte. */
  body?: string;
  idempotencyKey?: string;
}

/**
 * Sends requests, again when that may help. Every request of this client is
 * either a read or carries an Idempotency-Key, so sending again is always safe.
 */
export class Transport {
  // Private to the class, so that printing a client does not show the key.
  readonly #apiKey: string;
  readonly #base: string;
  readonly #fetch: typeof fetch;
  readonly #timeoutMs: number;
  readonly #tries: number;

  constructor(options: ClientOptions) {
    let url: URL;
    try {
      url = new URL(options.baseUrl);
    } catch {
      throw new WhatchangedError("baseUrl is not the URL of a server: want http(s)://host[:port]");
    }
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw new WhatchangedError("baseUrl is not the URL of a server: want http(s)://host[:port]");
    }
    if (typeof options.apiKey !== "string" || !/^[\x21-\x7e]+$/.test(options.apiKey)) {
      throw new WhatchangedError("apiKey is missing, or has other characters than a key has");
    }
    this.#apiKey = options.apiKey;
    this.#base = url.origin + url.pathname.replace(/\/+$/, "");
    this.#fetch = options.fetch ?? fetch;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#tries = Math.max(1, options.tries ?? 4);
  }

  async send<T>(request: Request): Promise<T> {
    for (let tried = 1; ; tried++) {
      try {
        return await this.#once<T>(request);
      } catch (error) {
        const asked = error instanceof ProblemError ? error.retryAfterMs : undefined;
        if (tried >= this.#tries || !mayHelp(error) || (asked ?? 0) > longestWait) {
          throw error;
        }
        await pause(asked ?? backoff(tried));
      }
    }
  }

  async #once<T>(request: Request): Promise<T> {
    const url = new URL(this.#base + request.path);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) {
        url.searchParams.set(name, value instanceof Date ? value.toISOString() : String(value));
      }
    }
    const headers: Record<string, string> = {
      Authorization: `Bearer ${this.#apiKey}`,
      Accept: "application/json",
      "User-Agent": "whatchanged-typescript",
    };
    if (request.body !== undefined) {
      headers["Content-Type"] = "application/json";
    }
    if (request.idempotencyKey !== undefined) {
      headers["Idempotency-Key"] = request.idempotencyKey;
    }
    let answer: Response;
    let text: string;
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), this.#timeoutMs);
    try {
      const send = this.#fetch;
      answer = await send(url, {
        method: request.method,
        headers,
        body: request.body ?? null,
        signal: abort.signal,
        // A redirected POST would arrive as a GET, and the key with somebody else.
        redirect: "manual",
      });
      text = await answer.text();
    } catch (error) {
      const why = abort.signal.aborted ? `no answer within ${this.#timeoutMs} ms` : reasonOf(error);
      throw new ConnectionError(`${request.method} ${url.origin}${request.path}: ${why}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch {
      body = undefined; // a proxy's page, perhaps
    }
    if (!answer.ok) {
      throw new ProblemError(answer.status, body, retryAfter(answer), answer.headers.get("X-Request-Id") ?? "");
    }
    if (body === undefined) {
      throw new WhatchangedError(`${url.origin} does not answer as this API does`);
    }
    return body as T;
  }
}

function mayHelp(error: unknown): boolean {
  return error instanceof ConnectionError || (error instanceof ProblemError && again.has(error.status));
}

/** Doubles from 0.2 s to 10 s, half of it to chance: callers who failed together do not come back together. */
function backoff(tried: number): number {
  return Math.min(10_000, 200 * 2 ** (tried - 1)) * (0.5 + Math.random());
}

function retryAfter(answer: Response): number | undefined {
  const value = answer.headers.get("Retry-After");
  if (value === null) {
    return undefined;
  }
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** fetch says "fetch failed" and keeps what failed as the cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
