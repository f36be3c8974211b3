"""The Zendesk source: tickets with their history, messages, customers and ratings, from the incremental exports.

The exports hold back what is younger than a minute, so each run first looks at the newest audits.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

from roomtone.errors import RoomtoneError
from roomtone.extract import zendesk_records as records
from roomtone.extract.http import RefusalError, VendorApi
from roomtone.extract.index import VersionIndex
from roomtone.extract.received import Cursors, Record, Refused
from roomtone.extract.zendesk_lookup import ZendeskLookup
from roomtone.rate_window import RateWindow
from roomtone.settings import Connection

# "10 requests per minute" for the incremental exports together.
_EXPORT_CALLS, _EXPORT_SECONDS = 10, 60.0
# The exports know no beginning but a time; one second after the epoch is before every account.
_BEGINNING = 1
# How far back to read when the vendor has forgotten a cursor.
_OVERLAP_SECONDS = 15 * 60
# A rating can be given long after it was offered, and the vendor does not say by which time it lists them: every run
# reads the last hour again, one run a day the last two weeks.
_RATING_OVERLAP_SECONDS = 3600
_DEEP_OVERLAP_SECONDS = 14 * 24 * 3600
_DEEP_EVERY_SECONDS = 24 * 3600
_SHOWN_AT_ONCE = 100
_TICKETS = "/api/v2/incremental/tickets/cursor.json"
_EVENTS = "/api/v2/incremental/ticket_events.json"
_RATINGS = "/api/v2/satisfaction_ratings.json"


class ZendeskSource:
    """Reads the newest audits first, then tickets, the events of tickets, and ratings.

    What the audits tell comes again by the exports, as the same versions, and counts once. The list of audits may skip
    some, as its vendor warns, and is read one page deep: it makes most messages a minute younger and leaves none out.

    Cursors: `tickets` (the vendor's `after_cursor`, kept at the end of the stream too) with `tickets_since` (the
    greatest `generated_timestamp`, for when the vendor forgets the cursor), `events_since` and `ratings_since` (seconds
    since the epoch, read again inclusively), `ratings_deep_at` (when weeks of ratings were last read again),
    `events_seen` (ids of the events in that very second), `staff` (ids of people who are not customers).
    """

    def __init__(self, connection: Connection, index: VersionIndex, as_of: datetime) -> None:
        self._connection = connection
        self._index = index
        self._second = int(as_of.timestamp())
        self._pace = RateWindow(_EXPORT_CALLS, _EXPORT_SECONDS)
        self.paces = {"exports": self._pace}
        self._order_field = connection.options.get("order_field_id", "")
        self._bots = {name.strip() for name in connection.options.get("bot_user_ids", "").split(",") if name.strip()}
        self._tickets: dict[str, dict[str, Any]] = {}
        self._customers: set[str] = set()
        self._strangers: set[str] = set()
        self.ignored: list[str] = []

    def read(self, cursors: Cursors) -> Iterator[Record | Refused]:
        with VendorApi(self._connection, {"Authorization": f"Bearer {self._connection.token}"}) as api:
            yield from self._read_newest(cursors)
            yield from self._read_tickets(api, cursors)
            yield from self._read_events(api, cursors)
            yield from self._read_ratings(api, cursors)

    def _read_newest(self, cursors: Cursors) -> Iterator[Record | Refused]:
        """The messages that the exports do not show yet, their tickets and the people who wrote them."""
        since = cursors.get("events_since")
        if since is None:
            # All history is still to come; what happens meanwhile is a part of it.
            return
        with closing(ZendeskLookup(self._connection)) as lookup:
            yield from self._heard(lookup, since, cursors)

    def _heard(self, lookup: ZendeskLookup, since: int, cursors: Cursors) -> Iterator[Record | Refused]:
        audits = [a for a in lookup.newest_audits() if records.epoch_second(a.get("created_at")) > since]
        spoken = [(audit, comment) for audit in audits for comment in records.comments_of_audit(audit)]
        authors = {str(comment.get("author_id")): comment for _, comment in spoken}
        strangers = [key for key, comment in authors.items() if self._known_role(key, comment, cursors) is None]
        yield from self._people(list(lookup.users(strangers)), cursors)
        for audit, comment in spoken:
            role = self._known_role(str(comment.get("author_id")), comment, cursors)
            # An author who could not be asked for is left to the exports, which try longer.
            if role is not None:
                yield records.message(audit, comment, role)
            lookup.note(str(audit.get("ticket_id")))
        yield from lookup.records()

    def _read_tickets(self, api: VendorApi, cursors: Cursors) -> Iterator[Record | Refused]:
        has_restarted = False
        while True:
            sent = cursors.get("tickets")
            since = cursors.get("tickets_since", _BEGINNING)
            position = {"cursor": sent} if sent else {"start_time": str(since)}
            try:
                page = api.get(_TICKETS, position | {"include": "users"}, self._pace)
            except RefusalError:
                # Cursors grow too old; the time behind it still says where to go on.
                if not sent or has_restarted:
                    raise
                has_restarted = True
                cursors.pop("tickets")
                cursors["tickets_since"] = max(_BEGINNING, since - _OVERLAP_SECONDS)
                continue
            tickets = self._rows(page, "tickets")
            yield from self._people(self._rows(page, "users"), cursors)
            for ticket in tickets:
                yield records.ticket(ticket, self._order_field)
                self._tickets[str(ticket.get("id"))] = ticket
                if isinstance(generated := ticket.get("generated_timestamp"), int):
                    since = max(since, generated)
            after = page.get("after_cursor")
            if isinstance(after, str) and after:
                cursors["tickets"] = after
            cursors["tickets_since"] = since
            if page.get("end_of_stream") is not False:
                return
            if not tickets or after == sent or not after:
                raise self._stuck("tickets")

    def _read_events(self, api: VendorApi, cursors: Cursors) -> Iterator[Record | Refused]:
        while True:
            since = cursors.get("events_since", _BEGINNING)
            page = api.get(_EVENTS, {"start_time": str(since), "include": "comment_events"}, self._pace)
            seen = set(cursors.get("events_seen", []))
            # The page begins inside the second at which the last one ended. Events of that second that were read then
            # would, told again beside the ticket of today, make versions that never were.
            events = [event for event in self._rows(page, "ticket_events") if str(event.get("id")) not in seen]
            yield from self._versions(api, events)
            spoken = [(event, comment) for event in events for comment in records.comments_of(event)]
            yield from self._meet(api, spoken, cursors)
            for event, comment in spoken:
                yield records.message(event, comment, self._known_role(_author_of(event, comment), comment, cursors))
            end = page.get("end_time")
            has_moved = isinstance(end, int) and end > since
            if has_moved:
                cursors["events_since"] = end
                seen = set()
            at_end = {str(event.get("id")) for event in events if event.get("timestamp") == cursors.get("events_since")}
            if at_end or has_moved:
                cursors["events_seen"] = sorted(seen | at_end)
            if page.get("end_of_stream") is not False:
                return
            # Without more time behind it the next page would be the same one.
            if not has_moved:
                raise self._stuck("ticket events")

    def _read_ratings(self, api: VendorApi, cursors: Cursors) -> Iterator[Record | Refused]:
        since = cursors.get("ratings_since", _BEGINNING)
        is_deep = self._second - cursors.get("ratings_deep_at", 0) >= _DEEP_EVERY_SECONDS
        start = max(_BEGINNING, since - (_DEEP_OVERLAP_SECONDS if is_deep else _RATING_OVERLAP_SECONDS))
        page, seen = api.get(_RATINGS, {"start_time": str(start)}), set[str]()
        while True:
            for rating in self._rows(page, "satisfaction_ratings"):
                since = max(since, records.epoch_second(rating.get("updated_at")))
                if (found := records.rating(rating)) is not None:
                    yield found
            link = page.get("next_page")
            if not isinstance(link, str) or not link:
                cursors["ratings_since"] = since
                if is_deep:
                    cursors["ratings_deep_at"] = self._second
                return
            if link in seen:
                raise self._stuck("satisfaction ratings")
            seen.add(link)
            page = api.follow(link)

    def _versions(self, api: VendorApi, events: list[dict[str, Any]]) -> Iterator[Record]:
        """What each ticket was after each of the events, so that no state between two runs is missed."""
        by_ticket: dict[str, list[dict[str, Any]]] = {}
        for event in events:
            by_ticket.setdefault(str(event.get("ticket_id")), []).append(event)
        changed = [key for key, history in by_ticket.items() if any(records.changes_of(event) for event in history)]
        missing = [key for key in changed if key not in self._tickets and key.isdigit()]
        # One that is left out has been deleted for good since: its messages still land.
        self._tickets |= {str(ticket.get("id")): ticket for ticket in self._many(api, "tickets", missing)}
        for ticket_id, history in by_ticket.items():
            if ticket_id in self._tickets:
                yield from records.versions(self._tickets[ticket_id], history, self._order_field)

    def _meet(
        self, api: VendorApi, spoken: list[tuple[dict[str, Any], dict[str, Any]]], cursors: Cursors
    ) -> Iterator[Record]:
        """The authors who were not met before."""
        authors = {_author_of(event, comment): comment for event, comment in spoken}
        strangers = [
            key
            for key, comment in authors.items()
            if key.isdigit() and key not in self._strangers and self._known_role(key, comment, cursors) is None
        ]
        users = list(self._many(api, "users", strangers))
        self._strangers.update(set(strangers) - {str(user.get("id")) for user in users})
        yield from self._people(users, cursors)

    def _many(self, api: VendorApi, kind: str, ids: list[str]) -> Iterator[dict[str, Any]]:
        """The tickets or users with these ids; one that is gone is left out."""
        for start in range(0, len(ids), _SHOWN_AT_ONCE):
            part = ",".join(ids[start : start + _SHOWN_AT_ONCE])
            yield from self._rows(api.get(f"/api/v2/{kind}/show_many.json", {"ids": part}), kind)

    def _known_role(self, author_id: str, comment: dict[str, Any], cursors: Cursors) -> str | None:
        """`customer`, `agent` or `bot`; None for somebody not met before."""
        if author_id in self._bots or author_id.startswith("-") or records.is_automatic(comment):
            return "bot"
        if author_id in cursors.get("staff", []):
            return "agent"
        if author_id in self._customers:
            return "customer"
        if author_id not in self._strangers and self._index.known_ids("customers", [f"zendesk-{author_id}"]):
            self._customers.add(author_id)
            return "customer"
        return None

    def _people(self, users: list[dict[str, Any]], cursors: Cursors) -> Iterator[Record]:
        for user in users:
            user_id = str(user.get("id"))
            if user.get("role") == "end-user":
                self._customers.add(user_id)
                yield records.customer(user)
            elif user_id not in cursors.get("staff", []):
                cursors["staff"] = sorted({*cursors.get("staff", []), user_id})

    def _rows(self, page: dict[str, Any], name: str) -> list[dict[str, Any]]:
        rows = page.get(name, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._failure(f"sends {name} in another shape", "check that its address is Zendesk's API")
        return rows

    def _stuck(self, what: str) -> RoomtoneError:
        return self._failure(
            f"sends the same page of {what} again and again", "ask the vendor; what came before has landed"
        )

    def _failure(self, what: str, next_step: str) -> RoomtoneError:
        return RoomtoneError(f"source {self._connection.name}", what, next_step)


def _author_of(event: dict[str, Any], comment: dict[str, Any]) -> str:
    return str(comment.get("author_id", event.get("updater_id")))
