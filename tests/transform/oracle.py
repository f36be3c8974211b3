"""The rules of contract section 5 in plain Python and in another way: one customer's events, walked through in time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

LIVE = {"new", "open", "pending", "hold"}
Row = dict[str, Any]
# (policy, version, ticket or other subject, start, end, scopes)
Cause = tuple[str, int, str, datetime, datetime, frozenset[str]]
# (instant, number of the rule's version, what meets it, when the fact is over)
Evidence = tuple[datetime, int, str, datetime | None]


@dataclass
class Customer:
    """What exists of one customer as of the pass: the names of the customer's tickets, scored messages, overrides, and
    by (fact, subject) the periods in which a fact held. `rules` are the versions of each rule, oldest first; `tickets`
    are the versions of everybody's tickets, oldest first, since a merge may lead to another customer's."""

    own: list[str]
    tickets: dict[str, list[Row]]
    messages: list[Row]
    overrides: list[Row]
    rules: list[list[Row]]
    as_of: datetime
    periods: dict[tuple[str, str], list[tuple[datetime, datetime | None]]] = field(default_factory=dict)

    def version_at(self, ticket: str, instant: datetime) -> Row | None:
        known = [row for row in self.tickets[ticket] if row["version_at"] <= instant]
        if not known and self.tickets[ticket][0]["created_at"] <= instant:
            return {"status": "new", "merged_into": None}
        return known[-1] if known else None

    def status_through_merges(self, ticket: str, instant: datetime) -> str:
        """Rule 5; a chain of merges that comes back to a ticket ends at the last one before it."""
        seen, row = {ticket}, self.version_at(ticket, instant)
        while row and row["merged_into"] in self.tickets and row["merged_into"] not in seen:
            seen.add(row["merged_into"])
            row = self.version_at(row["merged_into"], instant)
        return row["status"] if row else "closed"

    def reached(self, ticket: str) -> set[str]:
        """The ticket and all that its merges ever lead to."""
        found, new = {ticket}, {ticket}
        while new:
            new = {row["merged_into"] for name in new for row in self.tickets[name]} & self.tickets.keys() - found
            found |= new
        return found

    def evidence(self, versions: list[Row], subject: str) -> Iterator[Evidence]:
        """Rules 1 and 6: all that meets the start of some version, from its publication on."""
        for number, rule in enumerate(versions):
            for message in self.messages:
                now = message["created_at"]
                version = self.version_at(subject, now) if message["ticket_id"] == subject else None
                is_live = version is not None and version["status"] in LIVE
                if is_live and now >= rule["applies_from"] and self.starts(message, rule):
                    yield now, number, message["message_id"], None
            for first, over in self.periods.get((rule["start_fact"], subject), []):
                now = max(first + timedelta(days=rule["start_days"] or 0), rule["applies_from"])
                if now <= self.as_of and (over is None or now < over or now == first == over):
                    yield now, number, first.isoformat(), over

    def starts(self, message: Row, rule: Row) -> bool:
        if rule["start_fact"] == "threat":
            return bool(message["has_threat"]) and not message["is_abstained"]
        if rule["start_fact"] == "repeat_contact":
            since = message["created_at"] - timedelta(days=rule["start_days"])
            contacts = [row for row in self.contacts() if since < row["created_at"] <= message["created_at"]]
            return message in contacts and len(contacts) >= rule["start_count"]
        return rule["start_fact"] is None and meets(message, rule, "start")

    def contacts(self) -> list[Row]:
        """Messages that turn to support anew: no thanks, and an hour or more after the customer's last message."""
        ordered = sorted(self.messages, key=lambda row: (row["created_at"], row["message_id"]))
        return [
            row
            for before, row in zip([None, *ordered], ordered, strict=False)
            if (before is None or row["created_at"] >= before["created_at"] + timedelta(hours=1))
            and (row["sentiment"] != "positive" or row["is_abstained"])
        ]

    def end(self, rule: Row, subject: str, evidence_at: datetime, over: datetime | None) -> datetime:
        """Rule 3: the earliest end as things stand after the latest evidence."""
        cool_off = timedelta(hours=rule["cool_off_hours"])
        ends = [evidence_at + timedelta(days=rule["max_days"])] + ([over + cool_off] if over else [])
        if subject in self.tickets:
            stopped: datetime | None = None
            rows = [row for name in self.reached(subject) for row in self.tickets[name]]
            for instant in sorted({row[name] for row in rows for name in ("version_at", "created_at")}):
                if instant <= evidence_at:
                    continue
                if stopped and instant >= stopped + cool_off:
                    break
                status = self.status_through_merges(subject, instant)
                if status == "deleted":
                    ends.append(instant)
                    break
                stopped = None if status in LIVE else stopped or instant
            if stopped:
                ends.append(stopped + cool_off)
        reliefs = [
            row["created_at"] + timedelta(hours=rule["relief_after_hours"])
            for row in self.messages
            if row["ticket_id"] == subject and row["created_at"] > evidence_at and meets(row, rule, "relief")
        ]
        releases = [
            row["starts_at"]
            for row in self.overrides
            if row["action"] == "release" and row["starts_at"] > evidence_at and rule["scopes"] <= row["scopes"]
        ]
        return min(ends + reliefs + releases)

    def causes(self) -> Iterator[Cause]:
        for versions in self.rules:
            for subject in [*self.own, *sorted({subject for _, subject in self.periods})]:
                lasting: tuple[int, datetime, datetime] | None = None
                found_first: dict[str, int] = {}
                for now, number, what, over in sorted(self.evidence(versions, subject), key=lambda row: row[:3]):
                    is_in_force = now < versions[number]["applies_to"]
                    if is_in_force:
                        found_first.setdefault(what, number)
                    if lasting and now >= lasting[2]:
                        yield self._cause(versions, subject, lasting)
                        lasting = None
                    end = self.end(versions[number], subject, now, over)
                    if lasting and lasting[0] == number:
                        lasting = (number, lasting[1], end)
                    elif not lasting and is_in_force and found_first[what] == number and end > now:
                        lasting = (number, now, end)
                if lasting:
                    yield self._cause(versions, subject, lasting)

    @staticmethod
    def _cause(versions: list[Row], subject: str, lasting: tuple[int, datetime, datetime]) -> Cause:
        rule = versions[lasting[0]]
        return rule["policy_id"], rule["policy_version"], subject, lasting[1], lasting[2], frozenset(rule["scopes"])

    def paused(self) -> Callable[[str, datetime], bool]:
        """Rule 7: whether a scope is paused at an instant; of persons' decisions the latest counts."""
        causes = list(self.causes())

        def at(scope: str, instant: datetime) -> bool:
            said = [
                row for row in self.overrides if scope in row["scopes"] and row["starts_at"] <= instant < row["ends_at"]
            ]
            if said:
                latest = max(row["starts_at"] for row in said)
                return any(row["action"] == "pause" for row in said if row["starts_at"] == latest)
            return any(start <= instant < end and scope in scopes for _, _, _, start, end, scopes in causes)

        return at


def meets(message: Row, rule: Row, condition: str) -> bool:
    sentiment, least = rule[f"{condition}_sentiment"], rule[f"{condition}_min_confidence"]
    return bool(not message["is_abstained"] and message["sentiment"] == sentiment and message["confidence"] >= least)
