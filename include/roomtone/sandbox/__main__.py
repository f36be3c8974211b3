"""`python -m roomtone.sandbox serve` runs the brand; `python -m roomtone.sandbox texts` prints composed messages."""

import argparse
import json
import socket
import sys
from datetime import datetime
from pathlib import Path
from random import Random

from roomtone.errors import RoomtoneError
from roomtone.sandbox.clock import parse
from roomtone.sandbox.samples import sample_messages
from roomtone.sandbox.world import Plan

LONGEST_STORY_DAYS = 11


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status, 1 with one line on the standard error for what cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "texts":
            return _texts(options)
        return _serve(options)
    except RoomtoneError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m roomtone.sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve the brand until interrupted")
    serve.add_argument("--port", type=int, required=True, help="0 takes a free one")
    serve.add_argument("--seed", type=int, default=7)
    serve.add_argument("--customers", type=int, default=400)
    serve.add_argument("--silent-profiles", type=int, default=0, help="more profiles, of people who do nothing")
    serve.add_argument("--call-seconds", type=float, help="the clock stands still but for this long at each call")
    serve.add_argument("--start", type=_instant, default="2026-03-02T09:00:00Z", help="RFC 3339, with an offset")
    serve.add_argument("--history-days", type=int, default=21)
    serve.add_argument(
        "--specs", type=Path, help="folder of the vendors' specifications; checks every call against them"
    )
    texts = commands.add_parser("texts", help="print composed messages with their planted truth, as JSON Lines")
    texts.add_argument("--count", type=int, default=100)
    texts.add_argument("--seed", type=int, default=7)
    return parser


def _instant(text: str) -> datetime:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _texts(options: argparse.Namespace) -> int:
    for row in sample_messages(Random(options.seed), options.count):
        print(json.dumps(row, ensure_ascii=False))
    return 0


def _serve(options: argparse.Namespace) -> int:
    import uvicorn

    from roomtone.sandbox.app import Sandbox, make_app
    from roomtone.sandbox.spec_check import SpecCheck
    from roomtone.sandbox.world import World

    if options.customers < 3:
        raise RoomtoneError("--customers", options.customers, "the story needs three")
    if options.history_days < LONGEST_STORY_DAYS:
        raise RoomtoneError("--history-days", options.history_days, f"the story needs {LONGEST_STORY_DAYS}")
    listener = _listen(options.port)
    port = listener.getsockname()[1]
    plan = Plan(options.start, options.seed, options.customers, options.history_days)
    world = World(plan)
    world.add_silent_profiles(options.silent_profiles)
    app = make_app(Sandbox(world, SpecCheck(options.specs) if options.specs else None, options.call_seconds))

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            print(f"sandbox ready http://127.0.0.1:{port}", flush=True)

    # The vendors live by the brand's clock, and say so.
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on", date_header=False)
    Server(config).run(sockets=[listener])
    return 0


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise RoomtoneError(
            "--port", f"{port} cannot be used ({error.strerror})", "end what holds it, or take another"
        ) from error
    return listener


if __name__ == "__main__":
    sys.exit(main())
