"""A vendor's server that follows a script."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Vendor:
    """Answers request after request from `script`: (status, body, headers), or a function that gets the handler.

    When the script is over every request gets the body that `pages` has for its path, or `otherwise`. A path in
    `aside` is answered from there, at any time and unseen by the script.
    """

    def __init__(self, otherwise: object = None) -> None:
        self.otherwise = otherwise
        self.script: list[Any] = []
        self.pages: dict[str, Any] = {}
        self.aside: dict[str, Any] = {}
        self.paths: list[str] = []
        self.asked_aside: list[str] = []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                page = vendor.pages.get(path, vendor.otherwise)
                if path in vendor.aside:
                    vendor.asked_aside.append(self.path)
                    step = (200, vendor.aside[path], {})
                else:
                    vendor.paths.append(self.path)
                    step = vendor.script.pop(0) if vendor.script else (200, page, {})
                if callable(step):
                    step(self)
                    return
                status, body, headers = step
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
