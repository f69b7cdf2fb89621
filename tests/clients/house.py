"""The real simulator for pywa: its process, a callback that pywa's own handlers answer, and hands on the control API.

Every file of tests is a `Case`: a house of its own, fresh before each test.
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
# The head of a photo of 640 by 640.
JPEG = b"\xff\xd8\xff\xe0\x00\x04\x01\x02\xff\xc0\x00\x0b\x08\x02\x80\x02\x80" + b"\x00" * 32

# It logs each update that it does not understand; README.md has them, and each has a test.
logging.getLogger("pywa").setLevel(logging.CRITICAL)


class ToSimulator(httpx.HTTPTransport):
    """Takes what is for graph.facebook.com to the simulator."""

    def __init__(self, url):
        super().__init__()
        self.to = httpx.URL(url)

    def handle_request(self, request):
        request.url = request.url.copy_with(scheme=self.to.scheme, host=self.to.host, port=self.to.port)
        return super().handle_request(request)


class House:
    """A simulator, and pywa in front of it."""

    def __init__(self):
        self.wa = None
        self.failures = []
        self.callback = self._listen()
        self.process, self.url = self._start()
        # Also where a test fails before it can close.
        atexit.register(self.process.kill)
        self.wa = pywa.WhatsApp(
            phone_id=NUMBER, token=TOKEN, waba_id=ACCOUNT, app_id=1, app_secret=SECRET, verify_token=VERIFY,
            session=httpx.Client(transport=ToSimulator(self.url), timeout=20), server=None,
        )

    def _listen(self):
        """A callback that does what pywa's documentation says a custom server does: challenge, validate, handle."""
        house = self

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
                if house.wa is None:
                    return self.answer("not yet", 503)
                self.answer(*house.wa.webhook_challenge_handler(query.get(pywa.utils.HUB_VT), query.get(pywa.utils.HUB_CH)))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                wrong = house.wa.webhook_update_validator(body, self.headers.get(pywa.utils.HUB_SIG))
                if wrong:
                    house.failures.append(wrong)
                    return self.answer(*wrong)
                self.answer(*house.wa.webhook_update_handler(body))

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
        """Asks the control API; with a body, tells it."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/control/{path}", data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def put(self, mime, data, filename="file"):
        """A person's file; its id."""
        request = urllib.request.Request(f"{self.url}/control/media?filename={filename}", data, {"content-type": mime})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)["id"]

    def idle(self):
        """Waits until every webhook was taken."""
        load = self.control("idle?wait_ms=20000")
        assert load["idle"], load

    def fresh(self):
        """Everything as at the start and a second later, and Ana has written: pywa skips what is the same to the byte."""
        self.control("reset", {})
        self.control("clock", {"advance_ms": 1000})
        self.failures.clear()
        until(lambda: self.control("idle")["greeted"])
        self.control("say", {"from": "ana", "text": "hello"})
        self.idle()

    def last(self, person="ana"):
        """The newest message that somebody got, as the simulator took it."""
        return self.control(f"messages?person={person}&newest=1")["messages"][-1]

    def last_of(self, group):
        """The newest message that a group got."""
        return self.control(f"messages?group={group}&newest=1")["messages"][-1]


class Case(unittest.TestCase):
    """Tests in a house."""

    @classmethod
    def setUpClass(cls):
        cls.house = House()
        cls.wa = cls.house.wa

    @classmethod
    def tearDownClass(cls):
        cls.house.close()

    def setUp(self):
        self.house.fresh()
        self.seen = []
        self.handlers = []

    def tearDown(self):
        self.wa.remove_handlers(*self.handlers, silent=True)
        self.assertEqual(self.house.failures, [])

    def listen(self, *kinds):
        """Keeps every update that handlers of these kinds are called with."""
        for kind in kinds:
            made = kind(lambda _, update: self.seen.append(update))
            self.handlers.append(made)
            self.wa.add_handlers(made)

    def arrived(self, count=1):
        """The updates so far, which are so many, once everything on its way has come."""
        self.house.idle()
        self.assertEqual(len(self.seen), count, self.seen)
        return self.seen

    def say(self, message=None, **more):
        """Ana says it, and it has come."""
        said = self.house.control("say", {"from": "ana", **({"message": message} if message else {}), **more})
        self.house.idle()
        return said

    def webhook(self, field, value):
        """Any other change comes."""
        self.house.control("webhook", {"field": field, "value": value})
        self.house.idle()

    def refused(self, code, call, *arguments, **named):
        """The platform's error with this code is pywa's exception."""
        with self.assertRaises(errors.WhatsAppError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.code, code, caught.exception)


def until(done, patience=20):
    """Asks again and again; each asking is a request, and so no idle turn."""
    ends = time.monotonic() + patience
    while not done():
        assert time.monotonic() < ends, "it did not happen in time"
