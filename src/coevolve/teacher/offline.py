"""A teacher of our own behind HTTP on this machine: a process that speaks as an OpenAI-compatible server does.

It serves on loopback alone, prints its URL in its first line, and ends when its standard input does, so it never
outlives the run that started it.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from coevolve.teacher.protocol import Ask, asked

Answer = Callable[[Ask], dict[str, Any]]
_LARGEST = 1 << 20  # bytes of a request
_CHARACTERS = 4  # that count as one token


def response(answer: Answer, content: bytes) -> tuple[int, dict[str, Any]]:
    """Status and body for the body of a request to chat/completions. A function of its arguments alone.

    Args:
        answer: the teacher: what it replies to a request.
        content: what was sent.
    """
    try:
        body = json.loads(content)
        prompt = "".join(str(message["content"]) for message in body["messages"])
        text = json.dumps(answer(asked(body["messages"][-1]["content"])))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        return 400, {"error": {"message": f"no request to this teacher: {error}"}}
    usage = {"prompt_tokens": len(prompt) // _CHARACTERS, "completion_tokens": len(text) // _CHARACTERS}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return 200, {"object": "chat.completion", "model": body.get("model", ""), "choices": [choice], "usage": usage}


def serve(answer: Answer) -> None:
    """Serve until standard input ends."""
    server = _Server(("127.0.0.1", 0), _handler(answer))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    sys.stdin.buffer.read()
    server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A run that is killed breaks its connections."""


def _handler(answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # a response goes out in one piece
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > _LARGEST:
                self.close_connection = True
                self._send(413, {"error": {"message": "the request is too large, or does not say how large it is"}})
                return
            status, body = response(answer, self.rfile.read(int(length)))
            self._send(status, body)

        def _send(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing: the run logs what it asks."""

    return Handler
