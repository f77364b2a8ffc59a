"""A download server for tests of data sets."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Server:
    """A server in this process: `pages` maps a path to status, headers and body of its answer."""

    def __init__(self, url):
        self.url = url
        self.pages = {}
        self.asked = []


@pytest.fixture
def server(monkeypatch):
    pytest.importorskip("pooch")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            status, headers, body = server.pages.get(self.path, (404, {}, b"no such page"))
            self.send_response(status)
            for item in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(*item)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as service:
        server = Server(f"http://127.0.0.1:{service.server_port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr("portanet.data.download.SCHEME", "http://")  # it has no certificate
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        service.shutdown()
        thread.join()
