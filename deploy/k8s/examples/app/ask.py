"""A web app that asks a model: `GET /?q=Name+three+birds` answers with the text.

All that makes the answer dependable is in the sidecar; here is only what is the app's own.
"""

import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from sidecard_client import Client, SidecardError

client = Client(os.environ.get("SIDECARD_ADDRESS", "127.0.0.1:7411"))


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self) -> None:  # http.server's name
        """Answer with what the model says, or with why it doesn't."""
        url = urlsplit(self.path)
        if url.path == "/healthz":
            self.answer(200, "ok")
            return
        question = parse_qs(url.query).get("q", ["Name three birds."])[0]
        try:
            self.answer(200, client.generate(question, timeout_s=60).text)
        except SidecardError as error:
            self.answer(503, f"Not now, please try again: {error}")

    def answer(self, status: int, text: str) -> None:
        """Send a text."""
        body = text.encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    host, _, port = os.environ.get("ASK_LISTEN", "0.0.0.0:8080").rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    # Running requests are finished before the app ends, and only then is the sidecar stopped.
    server.daemon_threads = False
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.server_close()
