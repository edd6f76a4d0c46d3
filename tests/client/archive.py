"""A stand-in for public archives: a tree of files with Apache's listings, ranges, and faults on request."""

from __future__ import annotations

import hashlib
import http.server
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

Handler = http.server.BaseHTTPRequestHandler
Fault = Callable[[Handler, int], bool]
"""Answers in the server's place for the n-th request of an address; False leaves it to the server."""


@dataclass
class StandIn:
    """What the server has, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0
    url: str = ""

    def listing(self, folder: str) -> str | None:
        below = {path[len(folder) :].partition("/") for path in self.files if path.startswith(folder)}
        if not below:
            return None
        names = sorted({name + slash for name, slash, _ in below})
        rows = "".join(
            f'<tr><td><a href="{quote(name)}">{name[:23]}..&gt;</a></td><td>2026-06-01 08:00</td><td>2.9M</td></tr>\n'
            for name in names
        )
        return (
            f"<!DOCTYPE HTML>\n<html><head><title>Index of {folder}</title></head><body><h1>Index</h1><table>\n"
            '<tr><th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th></tr>\n'
            f'<tr><td><a href="/">Parent Directory</a></td></tr>\n{rows}</table></body></html>\n'
        )

    def times(self, path: str) -> int:
        return sum(1 for asked, _ in self.asked if asked == path)


@contextmanager
def serving(stand_in: StandIn) -> Iterator[StandIn]:
    """Serve it on a free port."""
    lock = threading.Lock()

    class Answering(Handler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802 - as the library names it
            path = unquote(urlsplit(self.path).path)
            with lock:
                stand_in.asked.append((path, dict(self.headers)))
                stand_in.agents.add(self.headers.get("User-Agent", ""))
                stand_in.at_once += 1
                stand_in.most_at_once = max(stand_in.most_at_once, stand_in.at_once)
            connection, held = self.wfile, io.BytesIO()
            try:
                fault = stand_in.faults.get(path)
                if fault is None or not fault(self, stand_in.times(path)):
                    self.wfile = held  # sent when it counts no longer: who has it may ask for the next
                    answer(self, stand_in, path)
            finally:
                self.wfile = connection
                with lock:
                    stand_in.at_once -= 1
            connection.write(held.getvalue())

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stand_in
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(handler: Handler, stand_in: StandIn, path: str) -> None:
    """What an honest archive says."""
    if path in stand_in.files:
        send_file(handler, stand_in.files[path])
        return
    text = stand_in.listing(path) if path.endswith("/") else None
    if text is None:
        send(handler, 404, b"<html><body>Not Found</body></html>", Content_Type="text/html")
    else:
        send(handler, 200, text.encode(), Content_Type="text/html;charset=UTF-8")


def send_file(handler: Handler, data: bytes) -> None:
    etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    extra = {
        "ETag": etag,
        "Last_Modified": "Mon, 01 Jun 2026 08:00:00 GMT",
        "Content_Type": "application/x-gzip",
    }
    asked = handler.headers.get("Range")
    if asked and handler.headers.get("If-Range", etag) in (etag, extra["Last_Modified"]):
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(data):
            send(handler, 416, b"", Content_Range=f"bytes */{len(data)}")
        else:
            send(
                handler,
                206,
                data[start:],
                Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}",
                **extra,
            )
        return
    send(handler, 200, data, **extra)


def send(handler: Handler, status: int, body: bytes, *, length: int | None = None, **headers: str) -> None:
    """Send an answer; with ``length``, one that promises more than it holds, and then breaks off."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)
    if length is not None:
        handler.close_connection = True
