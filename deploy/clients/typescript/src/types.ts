// The names are the API's own, so that its reference describes them.

/** What an event may carry besides: strings, numbers, lists, objects. Never a secret's value. */
export type Metadata = Record<string, unknown>;

/** Who did it. */
export interface ActorInfo {
  /** A name for people. */
  name?: string;
  /** What it is: engineer, ci_system, secret_manager, alerting, ... */
  type?: string;
}

/** What track can say beyond its arguments. */
export interface TrackOptions {
  /** What it was done to; when left out, the server takes metadata.service, secret_path or incident_id. */
  resource_id?: string;
  resource_name?: string;
  /** When it happened; default now. */
  occurred_at?: Date | string;
  /** Names this event, so that telling it again records it once; made when left out. */
  idempotency_key?: string;
}

/** An event to record. */
export interface NewEvent {
  actor_id: string;
  actor_name?: string;
  actor_type?: string;
  session_id?: string;
  action: string;
  resource: string;
  resource_id?: string;
  resource_name?: string;
  metadata?: Metadata;
  occurred_at?: Date | string;
}

/** An event as it was recorded. */
export interface RecordedEvent {
  id: string;
  actor_id: string;
  actor_name: string;
  actor_type?: string;
  session_id?: string;
  action: string;
  resource: string;
  resource_id: string;
  resource_name?: string;
  metadata: Metadata;
  change_type: string;
  summary: string;
  environment?: string;
  /** When it happened: RFC 3339, UTC, milliseconds. */
  occurred_at: string;
  /** When the server accepted it. */
  created_at: string;
  [more: string]: unknown;
}

/** What track was answered: the event as it was recorded, or with batching its id alone. */
export type Tracked = Pick<RecordedEvent, "id"> & Partial<RecordedEvent>;

/** Which events to list; the API's reference has them all. */
export interface EventFilter {
  resource_id?: string;
  actor_id?: string;
  action?: string;
  resource?: string;
  session_id?: string;
  start_date?: Date | string;
  end_date?: Date | string;
  /** 1 to 100, default 25. */
  limit?: number;
  offset?: number;
  cursor?: string;
  [more: string]: string | number | boolean | Date | undefined;
}

/** Where a page stands in its list. */
export interface Meta {
  total: number;
  limit: number;
  offset: number;
  has_more: boolean;
  next_cursor?: string;
}

/** One page of a list. */
export interface Page<T> {
  data: T[];
  meta: Meta;
}

/** How events are sent together. */
export interface BatchOptions {
  /** Send when so many wait; 1 to 1000, default 100. */
  size?: number;
  /** Send at the latest after so long; default 1000. */
  intervalMs?: number;
  /** Refuse more while so many wait; default 10000. */
  maxQueued?: number;
  /** Told of each event that was not recorded; default: a line on the console. */
  onError?: (error: Error, event: NewEvent) => void;
}

/** How the client works. */
export interface ClientOptions {
  /** The API key, with the scopes events:write and events:read. */
  apiKey: string;
  /** The server, such as https://changes.example.com. */
  baseUrl: string;
  /** How long one try may take; default 30000. */
  timeoutMs?: number;
  /** How often a request is sent at most; default 4. */
  tries?: number;
  /** Send events together; default: each at once, and track resolves when it is on disk. */
  batch?: BatchOptions;
  /** Sends a request; default: the global fetch. */
  fetch?: typeof fetch;
}
