export { Actor, ImmutableClient, WhatchangedClient } from "./client.js";
export { ConnectionError, ProblemError, WhatchangedError } from "./errors.js";
export type {
  ActorInfo,
  BatchOptions,
  ClientOptions,
  EventFilter,
  Meta,
  Metadata,
  NewEvent,
  Page,
  RecordedEvent,
  TrackOptions,
  Tracked,
} from "./types.js";
