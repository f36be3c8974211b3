"""Plays the planted story against a running roomtone and collects what happened from the sandbox's own log.

Nothing here reads roomtone's tables: every fact is what reached the helpdesk and the marketing platform, at their time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

# The story takes the worst of a poll each minute: what it hears happened just after the one before. The helpdesk's
# exports show nothing younger, either.
HEARD_AFTER = timedelta(seconds=62)
PAUSE_PROPERTIES = ("sales", "upsell", "recommendation", "sms", "discount", "celebration", "review_request")
EFFECTS = frozenset({"profile_updated", "event_received", "ticket_updated"})

Entry = dict[str, Any]


class Brand:
    """The sandbox's control API: its clock, its log and its story."""

    def __init__(self, url: str) -> None:
        # Loopback: a proxy in the environment is not for these calls.
        self._client = httpx.Client(base_url=url, timeout=120.0, trust_env=False)

    def get(self, path: str, **parameters: str | int) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.get(path, params=parameters).raise_for_status().json()
        return answer

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.post(path, json=body).raise_for_status().json()
        return answer

    def now(self) -> datetime:
        return instant(self.get("/clock")["now"])

    def advance_to(self, at: datetime) -> datetime:
        """Move the clock forward to `at`; every happening up to then has happened when this returns."""
        response = self._client.post("/clock", json={"now": at.isoformat()}).raise_for_status()
        return instant(response.json()["now"])

    def log(self, after: int = 0, kind: str | None = None) -> list[Entry]:
        entries: list[Entry] = []
        while True:
            page = self.get("/log", after=after, **({"kind": kind} if kind else {}))["entries"]
            if not page:
                return entries
            entries += page
            after = page[-1]["seq"]

    def last_entry(self) -> int:
        return int(self.get("/log")["last"])

    def close(self) -> None:
        self._client.close()


@dataclass
class Told:
    """What the log says of the story. Times are the sandbox's; a list is in the order of the log.

    `pauses` are all changes that paused Maya more than before, each with its scopes under `paused`; `paused` and
    `released` are those of sales, which the story's campaign is.
    """

    t0: datetime
    ticket_id: int = 0
    pauses: list[Entry] = field(default_factory=list)
    paused: list[Entry] = field(default_factory=list)
    released: list[Entry] = field(default_factory=list)
    routed: list[Entry] = field(default_factory=list)
    sale: dict[str, Entry] = field(default_factory=dict)
    sale_recipients: int = 0
    sale_skipped: int = 0
    shipping_notices: list[Entry] = field(default_factory=list)
    arrivals: dict[str, Entry] = field(default_factory=dict)
    events: list[Entry] = field(default_factory=list)
    changes_when_repeated: list[Entry] = field(default_factory=list)
    violations: list[Entry] = field(default_factory=list)
    counterfactual: dict[str, Any] = field(default_factory=dict)

    def events_of(self, kind: str) -> list[Entry]:
        """Recovery events of one kind that reached the platform, repeats that it ignored left out."""
        metric = f"Roomtone {kind.replace('_', ' ').title()} Due"
        return [event for event in self.events if event["metric"] == metric and not event["is_duplicate"]]


Step = Callable[[str], None]


def play(brand: Brand, walk: Callable[[], object], step: Step = lambda _: None) -> Told:
    """Play the story to its end; `walk` runs the whole path once and returns when it has finished."""
    story = brand.get("/story")
    people = {name: str(person["shop_id"]) for name, person in story["people"].items()}
    times = {name: instant(text) for name, text in story["times"].items()}
    told = Told(instant(story["t0"]))

    step("three weeks of history are read")
    walk()
    brand.advance_to(times["maya_writes"] + HEARD_AFTER)
    step("Maya has written; the path runs")
    walk()
    brand.advance_to(times["shipping_notice"] + timedelta(minutes=1))
    step("the sale and the shipping notice have gone out; an agent answers")
    brand.advance_to(times["agent_answers"] + HEARD_AFTER)
    walk()
    step("a day later her ticket is solved")
    brand.advance_to(times["ticket_solved"] + HEARD_AFTER)
    walk()
    step("another day later the cool-off is over")
    brand.advance_to(times["ticket_solved"] + timedelta(hours=24, minutes=1))
    walk()
    step("the next campaign goes out")
    brand.advance_to(times["arrivals_sent"] + HEARD_AFTER)
    walk()
    step("everything runs a second time")
    seen = brand.last_entry()
    walk()
    told.changes_when_repeated = [entry for entry in brand.log(seen) if entry["kind"] in EFFECTS]
    _collect(told, brand, people)
    return told


def _collect(told: Told, brand: Brand, people: dict[str, str]) -> None:
    story, maya = brand.get("/story"), people["maya"]
    told.ticket_id = int(story["people"]["maya"]["ticket_id"])
    sale_id, arrivals_id = (story["campaigns"][name]["id"] for name in ("sale", "arrivals"))
    for entry in brand.log():
        kind, is_hers = entry["kind"], entry.get("external_id") == maya
        if kind == "profile_updated" and is_hers:
            _collect_profile(told, entry)
        elif kind == "ticket_updated" and entry["ticket_id"] == told.ticket_id:
            told.routed.append(entry)
        elif kind == "event_received" and entry["profile_id"] == story["people"]["maya"]["klaviyo_profile_id"]:
            told.events.append(entry)
        elif kind == "violation":
            told.violations.append(entry)
        elif kind == "campaign_send":
            names = {key: name for name, key in people.items()}
            name = names.get(entry["external_id"])
            if entry["campaign_id"] == sale_id:
                told.sale_recipients += entry["outcome"] == "sent"
                told.sale_skipped += entry["outcome"] == "skipped"
                if name:
                    told.sale[name] = entry
            elif entry["campaign_id"] == arrivals_id and name:
                told.arrivals[name] = entry
            elif entry["campaign_id"] == story["shipping_flow_id"] and is_hers:
                told.shipping_notices.append(entry)
    told.counterfactual = brand.get("/counterfactual")


def _collect_profile(told: Told, entry: Entry) -> None:
    changed = entry["changed"]
    added = [scope for scope in PAUSE_PROPERTIES if changed.get(f"roomtone_pause_{scope}", (None, None))[1] is True]
    if added:
        told.pauses.append({**entry, "paused": added})
    change = entry["changed"].get("roomtone_pause_sales")
    if change and change[1] is True:
        told.paused.append(entry)
    elif change and change[0] is True and change[1] is False:
        told.released.append(entry)


def instant(text: str) -> datetime:
    """An RFC 3339 timestamp of the sandbox as aware UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)
