// Something broke: what changed? ../README.md says how to run it against your server.

import { ImmutableClient } from "getimmutable";

const client = new ImmutableClient({
  apiKey: "imk_sk_a1b2c3d4e5f6g7h8i9j0",
  baseUrl: "http://127.0.0.1:8080",
});

const events = await client.getEvents({
  resource_id: "api-gateway",
  limit: 20,
});
console.log("Recent changes to api-gateway:");
events.data.forEach((event) => {
  console.log(
    `${event.occurred_at} | ${event.actor_name} | ${event.action} | ` +
      `${JSON.stringify(event.metadata)}`
  );
});
