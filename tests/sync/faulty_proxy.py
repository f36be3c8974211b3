"""A vendor with bad days: forwards to the sandbox and injects the faults it was told to, before or after the effect."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

# What a vendor says beside the body: what it is, its version, and how much more may be asked.
_PASSED_ON = ("content-type", "etag", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


@dataclass
class Fault:
    """What happens to the next `times` requests that match.

    `kind`: 429, 500_before, 500_after, cut_after, html, redirect or 400.
    """

    method: str
    path: str
    kind: str
    times: int = 1
    retry_after: str | None = None


@dataclass
class FaultyVendor:
    """`url` stands for the sandbox's; `seen` are (method, path, status) of everything that was asked."""

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str, int]] = field(default_factory=list)

    def take(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and method == fault.method and fault.path in path:
                fault.times -= 1
                return fault
        return None

    def count(self, method: str, path: str) -> int:
        return sum(m == method and path in p for m, p, _ in self.seen)


@contextmanager
def faulty_vendor(sandbox_url: str) -> Iterator[FaultyVendor]:
    vendor = FaultyVendor()
    client = httpx.Client(base_url=sandbox_url, timeout=30, trust_env=False, verify=False)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body are written apart; unsent until the first is acknowledged, the second costs 40 ms.
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def _handle(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            with lock:
                fault = vendor.take(self.command, self.path)
                if fault is None or fault.kind.endswith("_after"):
                    headers = {
                        k: v
                        for k, v in self.headers.items()
                        if k.lower() not in {"host", "content-length", "connection"}
                    }
                    answer = client.request(self.command, self.path, content=content, headers=headers)
            if fault is None:
                passed = {"content-type": "", **{k: v for k, v in answer.headers.items() if k in _PASSED_ON}}
                self._reply(answer.status_code, answer.content, passed)
            elif fault.kind == "cut_after":
                vendor.seen.append((self.command, self.path, 0))
                self.close_connection = True
                self.connection.close()
            elif fault.kind == "html":
                self._reply(200, b"<html>please log in</html>", {"content-type": "text/html"})
            elif fault.kind == "redirect":
                self._reply(302, b"", {"location": "http://127.0.0.1:9/elsewhere"})
            else:
                status = int(fault.kind[:3])
                self._reply(status, b"", {"retry-after": fault.retry_after} if fault.retry_after else {})

        def _reply(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            vendor.seen.append((self.command, self.path, status))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = _handle  # noqa: N815 - the server looks for these names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    vendor.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        client.close()
