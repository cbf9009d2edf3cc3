/** Whatever this client throws of itself. */
export class WhatchangedError extends Error {
  override name = "WhatchangedError";
}

/** The server could not be reached, or did not answer in time. */
export class ConnectionError extends WhatchangedError {
  override name = "ConnectionError";
}

/** The server refused the request (RFC 9457, application/problem+json). */
export class ProblemError extends WhatchangedError {
  override name = "ProblemError";
  /** The HTTP status; within a batch, that of the one event. */
  readonly status: number;
  readonly title: string;
  /** What is wrong and what to do about it. */
  readonly detail: string;
  /** One snake_case word, for programs. */
  readonly reason: string;
  /** The field to blame, or "". */
  readonly field: string;
  /** How long the server asked to wait, or undefined. */
  readonly retryAfterMs: number | undefined;
  /** Finds the request in the server's log. */
  readonly requestId: string;

  constructor(status: number, body: unknown, retryAfterMs?: number, requestId = "") {
    const said = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
    const text = (name: string): string => (typeof said[name] === "string" ? said[name] : "");
    const detail = text("detail");
    super(detail === "" ? `the server answered ${status}` : `${detail} (${status} ${text("reason")})`);
    this.status = status;
    this.title = text("title");
    this.detail = detail;
    this.reason = text("reason");
    this.field = text("field");
    this.retryAfterMs = retryAfterMs;
    this.requestId = requestId;
  }
}
