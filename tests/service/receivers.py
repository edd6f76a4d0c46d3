"""Receivers of notifications as the world has them: a web server and a mail server, good and bad ones."""

from __future__ import annotations

import email
import json
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Post:
    """What a webhook received."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]


@dataclass
class Receiver:
    """A web server that takes webhooks; ``answer`` says how each is answered.

    A number is a status, a text a redirect to it, bytes go out raw before the connection is cut; None cuts it.
    """

    answer: Callable[[Post], int | str | bytes | None] = lambda _: 200
    posts: list[Post] = field(default_factory=list)
    url: str = ""

    @property
    def keys(self) -> Counter[str]:
        return Counter(post.key for post in self.posts)


@contextmanager
def web_server(receiver: Receiver) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            post = Post(self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(body))
            receiver.posts.append(post)
            answer = receiver.answer(post)
            if isinstance(answer, int):
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if isinstance(answer, str):
                self.send_response(307)
                self.send_header("Location", answer)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if answer is not None:
                self.wfile.write(answer)
                self.wfile.flush()
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Mailbox:
    """What a mail server took."""

    port: int = 0
    raw: list[bytes] = field(default_factory=list)

    @property
    def mails(self) -> list[Message]:
        return [email.message_from_bytes(data) for data in self.raw]


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """A mail server that takes everything, without encryption or passwords."""
    box = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, words: str) -> None:
            self.wfile.write(words.encode() + b"\r\n")

        def handle(self) -> None:
            self.say("220 ready")
            while line := self.rfile.readline():
                word = line.strip().upper()
                if word.startswith((b"EHLO", b"HELO")):
                    self.say("250 here")
                elif word == b"DATA":
                    self.say("354 go on")
                    data = b""
                    while (part := self.rfile.readline()) != b".\r\n":
                        data += part
                    box.raw.append(data)
                    self.say("250 taken")
                elif word == b"QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        box.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield box
        finally:
            server.shutdown()


@contextmanager
def mute_server() -> Iterator[int]:
    """Port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
