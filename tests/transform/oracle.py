"""The rules of contract section 5 in plain Python and in another way: one customer's events, walked through in time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

LIVE = {"new", "open", "pending", "hold"}
Row = dict[str, Any]


@dataclass
class Customer:
    """What exists of one customer as of the pass: versions by ticket (oldest first), scored messages, overrides."""

    tickets: dict[str, list[Row]]
    messages: list[Row]
    overrides: list[Row]
    rules: list[list[Row]]

    def version_at(self, ticket: str, instant: datetime) -> Row | None:
        return next((row for row in reversed(self.tickets[ticket]) if row["version_at"] <= instant), None)

    def status_through_merges(self, ticket: str, instant: datetime) -> str:
        row = self.version_at(ticket, instant)
        while row and row["merged_into"] in self.tickets:
            ticket = row["merged_into"]
            row = self.version_at(ticket, instant)
        return row["status"] if row else "closed"

    def end(self, rule: Row, ticket: str, evidence_at: datetime) -> datetime:
        """Rule 3: the earliest end as things stand after the latest evidence."""
        ends = [evidence_at + timedelta(days=rule["max_days"])]
        stopped: datetime | None = None
        for instant in sorted(
            {row["version_at"] for rows in self.tickets.values() for row in rows if row["version_at"] > evidence_at}
        ):
            if stopped and instant >= stopped + timedelta(hours=rule["cool_off_hours"]):
                break
            status = self.status_through_merges(ticket, instant)
            if status == "deleted":
                ends.append(instant)
                break
            stopped = None if status in LIVE else stopped or instant
        if stopped:
            ends.append(stopped + timedelta(hours=rule["cool_off_hours"]))
        reliefs = [
            row["created_at"] + timedelta(hours=rule["relief_after_hours"])
            for row in self.messages
            if row["ticket_id"] == ticket and row["created_at"] > evidence_at and meets(row, rule, "relief")
        ]
        releases = [
            row["starts_at"]
            for row in self.overrides
            if row["action"] == "release" and row["starts_at"] > evidence_at and rule["scopes"] <= row["scopes"]
        ]
        return min(ends + reliefs + releases)

    def causes(self) -> Iterator[tuple[str, int, str, datetime, datetime, frozenset[str]]]:
        for versions in self.rules:
            for ticket in self.tickets:
                lasting: tuple[Row, datetime, datetime] | None = None
                for message in sorted(
                    (row for row in self.messages if row["ticket_id"] == ticket), key=lambda row: row["created_at"]
                ):
                    now = message["created_at"]
                    version = self.version_at(ticket, now)
                    if version is None or version["status"] not in LIVE:
                        continue
                    if lasting and now >= lasting[2]:
                        yield self._cause(ticket, lasting)
                        lasting = None
                    rule = (
                        lasting[0]
                        if lasting
                        else next(row for row in versions if row["applies_from"] <= now < row["applies_to"])
                    )
                    if meets(message, rule, "start"):
                        end = self.end(rule, ticket, now)
                        if lasting or end > now:
                            lasting = (rule, lasting[1] if lasting else now, end)
                if lasting:
                    yield self._cause(ticket, lasting)

    @staticmethod
    def _cause(
        ticket: str, lasting: tuple[Row, datetime, datetime]
    ) -> tuple[str, int, str, datetime, datetime, frozenset[str]]:
        rule, start, end = lasting
        return rule["policy_id"], rule["policy_version"], ticket, start, end, frozenset(rule["scopes"])

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
