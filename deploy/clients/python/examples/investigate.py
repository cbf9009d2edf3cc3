# Something broke: what changed? ../README.md says how to run it against your server.

from getimmutable import ImmutableClient

client = ImmutableClient(
    api_key="imk_sk_a1b2c3d4e5f6g7h8i9j0",
    base_url="http://127.0.0.1:8080"
)

events = client.get_events(resource_id="api-gateway", limit=20)
print("Recent changes to api-gateway:")
for event in events["data"]:
    print(
        f"{event['occurred_at']} | {event['actor_name']} | {event['action']} | "
        f"{event['metadata']}"
    )
