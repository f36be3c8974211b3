"""Fifty senders at a time: signed requests over kept connections, with as little work of its own as can be."""

import asyncio
import base64
import hmac
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_BODY = b'{"type": "messages", "data": []}'


@dataclass
class Answers:
    """What the senders were told: seconds of each kept request, and how many were answered otherwise."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0


async def send(url: str, secret: str, *, senders: int, each: int, a_second: float | None) -> Answers:
    """`senders` connections send `each` requests one after another: as fast as they are answered, or `a_second` in all.

    Times run from the first byte sent to the last byte of the answer.
    """
    answers = Answers()
    run = str(time.time_ns())
    pause = senders / a_second if a_second else 0.0

    async def one(number: int) -> None:
        target = urlsplit(url)
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        # Not all in step.
        await asyncio.sleep(pause * number / senders)
        for count in range(each):
            begun = time.perf_counter()
            writer.write(_request(target.path, target.netloc, secret, f"{run}-{number}-{count}"))
            status = await _status(reader)
            taken = time.perf_counter() - begun
            if status == 202:
                answers.seconds.append(taken)
            else:
                answers.refused += 1
            if pause:
                await asyncio.sleep(max(0.0, pause - taken))
        writer.close()

    await asyncio.gather(*(one(number) for number in range(senders)))
    return answers


def _request(path: str, host: str, secret: str, key: str) -> bytes:
    stamp = str(int(time.time()))
    made = hmac.digest(secret.encode(), f"{key}.{stamp}.".encode() + _BODY, "sha256")
    signature = base64.b64encode(made).decode()
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {len(_BODY)}",
        f"webhook-id: {key}",
        f"webhook-timestamp: {stamp}",
        f"webhook-signature: v1,{signature}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + _BODY


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])
