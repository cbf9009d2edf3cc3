import unittest
from datetime import datetime, timezone

from tests.server import KEY, Server, hang_up, say
from whatchanged_client import ConnectionFailed, ImmutableClient, ProblemError, WhatchangedClient, WhatchangedError

CREATED = say(201, {"data": {"id": "chg_1"}})


class ClientTest(unittest.TestCase):
    # S4-9
    def test_track_sends_who_did_what_as_one_event(self):
        server = Server(self, CREATED)
        client = ImmutableClient(api_key=KEY, base_url=server.url + "/")
        recorded = (
            client.actor("eng_k4m8p2", name="Priya Sharma", type="engineer")
            .session("sess_b2c3d4e5")
            .track("config.changed", "service", {"service": "api-gateway", "n": 1847, "list": ["ä"]}, resource_name="API Gateway")
        )
        self.assertEqual(recorded["id"], "chg_1")
        asked = server.asked[0]
        self.assertEqual((asked["method"], asked["url"]), ("POST", "/api/v1/events"))
        self.assertEqual(asked["headers"]["Authorization"], "Bearer " + KEY)
        self.assertEqual(asked["headers"]["Content-Type"], "application/json")
        self.assertEqual(
            asked["body"],
            {
                "actor_id": "eng_k4m8p2",
                "actor_name": "Priya Sharma",
                "actor_type": "engineer",
                "session_id": "sess_b2c3d4e5",
                "action": "config.changed",
                "resource": "service",
                "resource_name": "API Gateway",
                "metadata": {"service": "api-gateway", "n": 1847, "list": ["ä"]},
            },
        )

    def test_an_actor_can_be_kept_and_a_session_does_not_stick_to_it(self):
        server = Server(self, CREATED)
        actor = WhatchangedClient(api_key=KEY, base_url=server.url).actor("a")
        actor.session("s").track("x.y", "z")
        actor.track("x.y", "z", occurred_at=datetime(2026, 3, 30, 15, tzinfo=timezone.utc))
        self.assertEqual(server.asked[0]["body"]["session_id"], "s")
        self.assertEqual(
            server.asked[1]["body"],
            {"actor_id": "a", "action": "x.y", "resource": "z", "metadata": {}, "occurred_at": "2026-03-30T15:00:00.000Z"},
        )

    def test_what_may_help_is_sent_again_by_the_same_key(self):
        server = Server(self, say(503, {}, {"Retry-After": "0"}), hang_up, say(429, {}), CREATED)
        client = ImmutableClient(api_key=KEY, base_url=server.url)
        client.actor("a").track("x.y", "z")
        client.actor("a").track("x.y", "z", idempotency_key="build-4711")
        keys = [asked["headers"]["Idempotency-Key"] for asked in server.asked]
        self.assertEqual(len({asked["text"] for asked in server.asked}), 1)
        self.assertEqual(len(set(keys[:4])), 1)
        self.assertRegex(keys[0], "^[0-9a-f-]{36}$")
        self.assertEqual(keys[4], "build-4711")

    def test_who_asks_for_more_patience_than_is_reasonable_is_not_waited_for(self):
        for value, least in (("3600", 3600), ("Fri, 01 Jan 2100 00:00:00 GMT", 3600)):
            with self.subTest(value):
                server = Server(self, say(429, {}, {"Retry-After": value}))
                with self.assertRaises(ProblemError) as raised:
                    ImmutableClient(api_key=KEY, base_url=server.url).get_events()
                self.assertGreaterEqual(raised.exception.retry_after, least)
                self.assertEqual(len(server.asked), 1)

    def test_a_refusal_is_told_in_the_servers_words_and_not_tried_again(self):
        refusal = {"title": "Malformed request", "status": 400, "detail": "limit: no", "reason": "invalid_limit", "field": "limit"}
        server = Server(self, say(400, refusal, {"X-Request-Id": "req_1"}))
        with self.assertRaises(ProblemError) as raised:
            ImmutableClient(api_key=KEY, base_url=server.url).get_events(limit=101)
        error = raised.exception
        self.assertEqual({name: getattr(error, name) for name in refusal}, refusal)
        self.assertEqual(error.request_id, "req_1")
        self.assertEqual(str(error), "limit: no (400 invalid_limit)")
        self.assertEqual(len(server.asked), 1)

    def test_a_server_that_stays_away_is_an_error_after_as_many_tries_as_asked_for(self):
        server = Server(self, hang_up)
        with self.assertRaises(ConnectionFailed):
            ImmutableClient(api_key=KEY, base_url=server.url, tries=2).actor("a").track("x.y", "z")
        self.assertEqual(len(server.asked), 2)
        with self.assertRaisesRegex(ConnectionFailed, "GET http://127.0.0.1:1/api/v1/events: .*refused"):
            ImmutableClient(api_key=KEY, base_url="http://127.0.0.1:1", tries=1).get_events()

    def test_a_server_that_does_not_answer_is_given_up(self):
        import threading

        over = threading.Event()
        server = Server(self, lambda *_: over.wait(30))
        self.addCleanup(over.set)
        with self.assertRaisesRegex(ConnectionFailed, "timed out"):
            ImmutableClient(api_key=KEY, base_url=server.url, tries=1, timeout=0.05).get_events()

    def test_the_key_goes_nowhere_else(self):
        other = Server(self, CREATED)
        server = Server(self, say(307, "", {"Location": other.url + "/"}))
        client = ImmutableClient(api_key=KEY, base_url=server.url)
        with self.assertRaises(ProblemError) as raised:
            client.get_events()
        self.assertEqual(raised.exception.status, 307)
        self.assertEqual(other.asked, [])
        self.assertNotIn(KEY, repr(client))

    def test_an_answer_that_is_not_this_apis_is_no_success(self):
        server = Server(self, say(200, "<html>hello</html>"))
        with self.assertRaisesRegex(WhatchangedError, "does not answer as this API does"):
            ImmutableClient(api_key=KEY, base_url=server.url).get_events()

    def test_what_cannot_work_is_said_at_once(self):
        for wrong in ({"base_url": "example.com"}, {"base_url": "ftp://example.com"}, {"api_key": ""}, {"api_key": KEY + "\n"}):
            with self.subTest(wrong), self.assertRaises(WhatchangedError) as raised:
                ImmutableClient(**{"api_key": KEY, "base_url": "http://example.com", **wrong})
            self.assertNotIn(KEY, str(raised.exception))
        client = ImmutableClient(api_key=KEY, base_url="http://example.com")
        with self.assertRaisesRegex(WhatchangedError, "an actor has an id"):
            client.actor("")
        with self.assertRaises(ValueError):
            client.actor("a").track("x.y", "z", {"n": float("nan")})  # JSON has no such number

    # S4-41
    def test_get_events_asks_by_the_apis_names_and_all_events_goes_through_the_pages(self):
        def page(ids, cursor):
            return say(200, {"data": [{"id": i} for i in ids], "meta": {"has_more": bool(cursor), "next_cursor": cursor}})

        server = Server(self, page("12", "c1"), page("3", ""))
        client = ImmutableClient(api_key=KEY, base_url=server.url)
        start = datetime(1970, 1, 1, tzinfo=timezone.utc)
        ids = [event["id"] for event in client.all_events(resource_id="api gateway", limit=2, start_date=start, actor_id=None)]
        self.assertEqual(ids, ["1", "2", "3"])
        self.assertEqual(server.asked[0]["url"], "/api/v1/events?resource_id=api+gateway&limit=2&start_date=1970-01-01T00%3A00%3A00.000Z")
        self.assertTrue(server.asked[1]["url"].endswith("&cursor=c1"))


if __name__ == "__main__":
    unittest.main()
