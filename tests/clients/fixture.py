"""The simulator for tests of pywa: its process, a callback answered by pywa's handlers, and the control API.

Each test class is a `Case`, with a simulator of its own that is reset before each test.
"""

import atexit
import json
import logging
import os
import pathlib
import subprocess
import threading
import time
import unittest
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pywa
from pywa import errors

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECRET, VERIFY, TOKEN = "client-secret", "client-verify", "client-token"
NUMBER, ACCOUNT = "106540352242922", "102290129340398"
ANA, BRAM = "351910000101", "31610000102"
# The header of a JPEG of 640 by 640 pixels.
JPEG = b"\xff\xd8\xff\xe0\x00\x04\x01\x02\xff\xc0\x00\x0b\x08\x02\x80\x02\x80" + b"\x00" * 32

# pywa logs each update that it does not understand; README.md lists them, and each has a test.
logging.getLogger("pywa").setLevel(logging.CRITICAL)


class ToSimulator(httpx.HTTPTransport):
    """Redirects requests for graph.facebook.com to the simulator."""

    def __init__(self, url):
        super().__init__()
        self.to = httpx.URL(url)

    def handle_request(self, request):
        request.url = request.url.copy_with(scheme=self.to.scheme, host=self.to.host, port=self.to.port)
        # The simulator refuses requests for hosts that are not local.
        request.headers["Host"] = request.url.netloc.decode()
        return super().handle_request(request)


class Fixture:
    """A simulator and a pywa client."""

    def __init__(self):
        self.wa = None
        self.failures = []
        self.callback = self._listen()
        self.process, self.url = self._start()
        # Also if a test fails before `close`.
        atexit.register(self.process.kill)
        self.wa = pywa.WhatsApp(
            phone_id=NUMBER, token=TOKEN, waba_id=ACCOUNT, app_id=1, app_secret=SECRET, verify_token=VERIFY,
            session=httpx.Client(transport=ToSimulator(self.url), timeout=20), server=None,
        )

    def _listen(self):
        """A callback as pywa's documentation describes a custom server: challenge, validate, handle."""
        fixture = self

        class Callback(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, text, status):
                body = (text or "").encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                query = dict(httpx.QueryParams(self.path.partition("?")[2]))
                if fixture.wa is None:
                    return self.answer("not yet", 503)
                self.answer(*fixture.wa.webhook_challenge_handler(query.get(pywa.utils.HUB_VT), query.get(pywa.utils.HUB_CH)))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                wrong = fixture.wa.webhook_update_validator(body, self.headers.get(pywa.utils.HUB_SIG))
                if wrong:
                    fixture.failures.append(wrong)
                    return self.answer(*wrong)
                self.answer(*fixture.wa.webhook_update_handler(body))

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Callback)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.server = server
        return f"http://127.0.0.1:{server.server_port}/"

    def _start(self):
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        program = os.environ.get("BEADLE_SIMULATOR", str(target / "debug" / "beadle-simulator"))
        process = subprocess.Popen(
            [program, "--listen", "127.0.0.1:0", "--callback", self.callback, "--clock", "virtual",
             "--app-secret", SECRET, "--verify-token", VERIFY, "--access-token", TOKEN],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "RUST_LOG": "warn"},
        )
        return process, process.stdout.readline().split()[-1]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.server.shutdown()
        self.server.server_close()

    def control(self, path, body=None):
        """A request to the control API: GET, or POST with a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/control/{path}", data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def put(self, mime, data, filename="file"):
        """Uploads a person's file; returns its id."""
        request = urllib.request.Request(f"{self.url}/control/media?filename={filename}", data, {"content-type": mime})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)["id"]

    def idle(self):
        """Waits until every webhook is delivered."""
        load = self.control("idle?wait_ms=20000")
        assert load["idle"], load

    def fresh(self):
        """Resets everything, advances a second (pywa skips identical updates), and lets Ana write."""
        self.control("reset", {})
        self.control("clock", {"advance_ms": 1000})
        self.failures.clear()
        until(lambda: self.control("idle")["handshake_done"])
        self.control("say", {"from": "ana", "text": "hello"})
        self.idle()

    def last(self, person="ana"):
        """The latest message to a person, as the simulator received it."""
        return self.control(f"messages?person={person}&newest=1")["messages"][-1]

    def last_of(self, group):
        """The latest message to a group."""
        return self.control(f"messages?group={group}&newest=1")["messages"][-1]


class Case(unittest.TestCase):
    """Tests with a fixture of their own."""

    @classmethod
    def setUpClass(cls):
        cls.fixture = Fixture()
        cls.wa = cls.fixture.wa

    @classmethod
    def tearDownClass(cls):
        cls.fixture.close()

    def setUp(self):
        self.fixture.fresh()
        self.seen = []
        self.handlers = []

    def tearDown(self):
        self.wa.remove_handlers(*self.handlers, silent=True)
        self.assertEqual(self.fixture.failures, [])

    def listen(self, *kinds):
        """Collects the updates of these kinds of handlers."""
        for kind in kinds:
            made = kind(lambda _, update: self.seen.append(update))
            self.handlers.append(made)
            self.wa.add_handlers(made)

    def arrived(self, count=1):
        """Waits until all webhooks are delivered, asserts the number of updates, and returns them."""
        self.fixture.idle()
        self.assertEqual(len(self.seen), count, self.seen)
        return self.seen

    def say(self, message=None, **more):
        """Ana sends a message; waits until it is delivered."""
        response = self.fixture.control("say", {"from": "ana", **({"message": message} if message else {}), **more})
        self.fixture.idle()
        return response

    def webhook(self, field, value):
        """Delivers a webhook with another field."""
        self.fixture.control("webhook", {"field": field, "value": value})
        self.fixture.idle()

    def refused(self, code, call, *arguments, **named):
        """Asserts that a call raises pywa's exception with this code."""
        with self.assertRaises(errors.WhatsAppError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.code, code, caught.exception)


def until(done, timeout=20):
    """Polls a condition; each check is a request."""
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline, "timed out"
