"""A server that answers by script, and remembers what it was asked."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "imk_sk_a1b2c3d4e5f6g7h8i9j0"


class Server:
    def __init__(self, test, *answers):
        self.asked = []
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self):
                text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                asked = {
                    "method": self.command,
                    "url": self.path,
                    "headers": self.headers,
                    "text": text,
                    "body": json.loads(text) if text else None,
                }
                with lock:
                    outer.asked.append(asked)
                    answer = answers[min(len(outer.asked), len(answers)) - 1]
                answer(self, asked)

            do_GET = do_POST = handle_one

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        test.addCleanup(thread.join)
        test.addCleanup(self._server.server_close)
        test.addCleanup(self._server.shutdown)
        self.url = "http://127.0.0.1:%d" % self._server.server_address[1]


def say(status, body, headers=None):
    def answer(handler, _asked):
        text = (body if isinstance(body, str) else json.dumps(body)).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
        handler.send_header("Content-Length", str(len(text)))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(text)

    return answer


def hang_up(handler, _asked):
    handler.close_connection = True


def take_all(handler, asked):
    """What the server makes of a bulk request when all is well."""
    items = [{"status": 201, "data": {"id": "chg_%d" % i}} for i in range(len(asked["body"]["data"]))]
    say(201, {"data": items})(handler, asked)
