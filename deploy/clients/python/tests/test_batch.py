import os
import subprocess
import sys
import threading
import unittest
from datetime import datetime, timezone

import whatchanged_client
from tests.server import KEY, Server, hang_up, say, take_all
from whatchanged_client import BatchOptions, ImmutableClient, ProblemError, WhatchangedError

LATER = 60.0  # an interval that does not pass in a test


class BatchTest(unittest.TestCase):
    def client(self, server, **options):
        options.setdefault("interval", LATER)
        return ImmutableClient(api_key=KEY, base_url=server.url, batch=BatchOptions(**options))

    def test_a_full_batch_goes_at_once_and_the_rest_when_it_is_asked_for(self):
        sent = threading.Event()

        def answer(handler, asked):
            sent.set()
            take_all(handler, asked)

        server = Server(self, answer)
        with self.client(server, size=2) as client:
            for i in range(2):
                self.assertIsNone(client.actor("a").track("x.%d" % i, "r"))
            self.assertTrue(sent.wait(30))
            client.actor("a").track("x.2", "r")
        actions = [[event["action"] for event in asked["body"]["data"]] for asked in server.asked]
        self.assertEqual(actions, [["x.0", "x.1"], ["x.2"]])
        self.assertEqual({asked["url"] for asked in server.asked}, {"/api/v1/events/bulk"})
        self.assertNotEqual(*[asked["headers"]["Idempotency-Key"] for asked in server.asked])

    def test_what_waits_goes_when_the_interval_is_over(self):
        sent = threading.Event()

        def answer(handler, asked):
            sent.set()
            take_all(handler, asked)

        server = Server(self, answer)
        client = self.client(server, interval=0.01)
        self.addCleanup(client.close)
        client.actor("a").track("x.y", "r")
        self.assertTrue(sent.wait(30))

    def test_an_event_happened_when_it_was_tracked_as_it_was_then(self):
        server = Server(self, take_all)
        metadata = {"n": 1}
        with self.client(server) as client:
            before = datetime.now(timezone.utc)
            client.actor("a").track("x.y", "r", metadata)
            after = datetime.now(timezone.utc)
            metadata["n"] = 2
        event = server.asked[0]["body"]["data"][0]
        occurred = datetime.fromisoformat(event["occurred_at"].replace("Z", "+00:00"))
        self.assertTrue(before.replace(microsecond=before.microsecond // 1000 * 1000) <= occurred <= after)
        self.assertEqual(event["metadata"], {"n": 1})

    def test_a_batch_is_sent_again_with_the_same_key(self):
        server = Server(self, hang_up, say(503, {}), take_all)
        with self.client(server) as client:
            client.actor("a").track("x.y", "r")
        self.assertEqual(len(server.asked), 3)
        self.assertEqual(len({asked["headers"]["Idempotency-Key"] + asked["text"] for asked in server.asked}), 1)

    def test_one_event_that_is_refused_does_not_take_the_others_along(self):
        refused = {"status": 400, "error": {"detail": "action: no", "reason": "invalid_action", "field": "action"}}
        server = Server(self, say(207, {"data": [{"status": 201, "data": {"id": "chg_1"}}, refused]}))
        told = []
        client = self.client(server, on_error=lambda error, event: told.append((error.field, event["action"])))
        client.actor("a").track("x.y", "r")
        client.actor("a").track("bad", "r")
        with self.assertRaises(ProblemError) as raised:
            client.flush()
        self.assertEqual((raised.exception.status, raised.exception.reason), (400, "invalid_action"))
        self.assertEqual(told, [("action", "bad")])
        client.close()  # it was said once

    def test_events_that_cannot_be_sent_are_told_of_one_by_one(self):
        server = Server(self, say(401, {"detail": "no such key", "reason": "unknown_key"}))
        told = []

        def on_error(error, event):
            told.append("%s %d" % (event["action"], error.status))
            raise RuntimeError("the caller's own mistake")

        client = self.client(server, on_error=on_error)
        client.actor("a").track("x.1", "r")
        client.actor("a").track("x.2", "r")
        with self.assertRaisesRegex(ProblemError, "no such key"):
            client.close()
        self.assertEqual(told, ["x.1 401", "x.2 401"])

    def test_the_queue_has_an_end_and_a_closed_client_takes_nothing(self):
        server = Server(self, take_all)
        client = self.client(server, max_queued=1)
        client.actor("a").track("x.1", "r")
        with self.assertRaisesRegex(WhatchangedError, "1 events wait already"):
            client.actor("a").track("x.2", "r")
        client.close()
        client.close()
        with self.assertRaisesRegex(WhatchangedError, "closed"):
            client.actor("a").track("x.3", "r")

    def test_large_events_go_in_several_batches(self):
        server = Server(self, take_all)
        with self.client(server, size=1000) as client:
            for _ in range(200):
                client.actor("a").track("x.y", "r", {"text": "x" * 60_000})
        self.assertGreater(len(server.asked), 1)
        self.assertLess(max(len(asked["text"]) for asked in server.asked), 16 << 20)
        self.assertEqual(sum(len(asked["body"]["data"]) for asked in server.asked), 200)

    def test_an_event_with_a_key_of_its_own_goes_alone(self):
        server = Server(self, say(201, {"data": {"id": "chg_1"}}))
        with self.client(server) as client:
            self.assertEqual(client.actor("a").track("x.y", "r", idempotency_key="build-4711"), {"id": "chg_1"})
        self.assertEqual(server.asked[0]["url"], "/api/v1/events")

    def test_what_waits_when_the_program_ends_is_sent(self):
        server = Server(self, take_all)
        program = (
            "from whatchanged_client import *\n"
            f"client = ImmutableClient(api_key={KEY!r}, base_url={server.url!r}, batch=BatchOptions(interval=60))\n"
            "client.actor('a').track('x.y', 'r')\n"
        )
        source = os.path.dirname(os.path.dirname(whatchanged_client.__file__))
        subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": source}, check=True, timeout=60)
        self.assertEqual([event["action"] for event in server.asked[0]["body"]["data"]], ["x.y"])


if __name__ == "__main__":
    unittest.main()
