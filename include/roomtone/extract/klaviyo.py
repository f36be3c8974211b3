"""The Klaviyo source: profiles, campaigns and flows, and what became of each mailing."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from roomtone.contract import SCOPES
from roomtone.errors import RoomtoneError
from roomtone.extract.http import RefusalError, VendorApi
from roomtone.extract.received import Cursors, Record, Refused
from roomtone.rate_window import RateWindow
from roomtone.settings import Connection

REVISION = "2026-07-15"
_BEGINNING = "2000-01-01T00:00:00+00:00"
_SCOPE_TAG = "roomtone:"
_CHANNELS = {"email": "email", "sms": "sms", "mobile_push": "push"}
# Klaviyo's metrics about mailings; all others are none of ours.
EVENT_TYPES = {
    "Received Email": "delivered",
    "Opened Email": "opened",
    "Clicked Email": "clicked",
    "Bounced Email": "bounced",
    "Dropped Email": "bounced",
    "Marked Email as Spam": "marked_spam",
    "Unsubscribed from Email Marketing": "unsubscribed",
    "Sent SMS": "sent",
    "Received SMS": "delivered",
    "Clicked SMS": "clicked",
    "Failed to Deliver SMS": "bounced",
    "Unsubscribed from SMS Marketing": "unsubscribed",
    "Received Push": "delivered",
    "Opened Push": "opened",
    "Bounced Push": "bounced",
}
# Events are dated by when they happened and arrive later: bounces and complaints by hours. Every run reads the last
# hours again, one run a day the last days.
_EVENT_OVERLAP = timedelta(hours=6)
_DEEP_OVERLAP = timedelta(days=3)
_DEEP_EVERY = timedelta(days=1)
# The platform may show a change a little late. Every run reads the last minute again, one in a quarter of an hour more.
_PROFILE_OVERLAP = timedelta(minutes=1)
_PROFILE_DEEP_OVERLAP = timedelta(minutes=30)
_PROFILE_DEEP_EVERY = timedelta(minutes=15)
# Of 750 calls a minute two thirds are left to the syncs, which look for people before they write to them.
PROFILE_CALLS = 250
_PROFILE_PAGE = "100"
# An unsubscription from a preference page belongs to no campaign.
_NO_CAMPAIGN = "none"


class KlaviyoSource:
    """Reads all campaigns and flows, and of profiles and events what is new.

    Cursors: `profiles_since` and `events_since` (greatest time read), `deep_at` and `profiles_deep_at` (when more than
    the newest was last read again), `profiles_read_at` (when the last whole list of changed profiles was begun),
    `profiles_left` (where one goes on that has not come to its end), `scopes` (the scope of each campaign when last
    seen, and since when if its tags changed).
    """

    def __init__(self, connection: Connection, as_of: datetime) -> None:
        self._connection = connection
        self._as_of = as_of.astimezone(UTC)
        self._flow_pace = RateWindow(60, 60.0)
        self._profile_pace = RateWindow(PROFILE_CALLS, 60.0)
        self.paces = {"flows": self._flow_pace, "profiles": self._profile_pace}
        self.ignored: list[str] = []

    def read(self, cursors: Cursors) -> Iterator[Record | Refused]:
        headers = {
            "Authorization": f"Klaviyo-API-Key {self._connection.token}",
            "revision": REVISION,
            "Accept": "application/vnd.api+json",
        }
        with VendorApi(self._connection, headers) as api:
            yield from self._read_profiles(api, cursors)
            yield from self._read_campaigns(api, cursors)
            yield from self._read_events(api, cursors)

    def _read_profiles(self, api: VendorApi, cursors: Cursors) -> Iterator[Record]:
        """Oldest change first, so that a run whose patience ends goes on from where it was in the next one.

        A change while paging moves a profile to the end, where this run or the next finds it.
        """
        newest = _instant(cursors.get("profiles_since", _BEGINNING))
        left = cursors.get("profiles_left") or self._profiles_due(cursors, newest)
        params = {
            "sort": "updated",
            "filter": f"greater-than(updated,{_instant(left['since']):%Y-%m-%dT%H:%M:%SZ})",
            "page[size]": _PROFILE_PAGE,
            "additional-fields[profile]": "subscriptions",
        }
        for page in self._pages(api, "/api/profiles", params, self._profile_pace, left.get("cursor")):
            for profile in self._rows(page):
                newest = max(newest, _instant(_attributes(profile).get("updated")))
                yield _profile(profile)
            cursors["profiles_since"] = newest.isoformat()
            cursors["profiles_left"] = {**left, "cursor": _page_cursor(page)}
        cursors.pop("profiles_left", None)
        cursors["profiles_read_at"] = left["begun_at"]
        if left["is_deep"]:
            cursors["profiles_deep_at"] = left["begun_at"]

    def _profiles_due(self, cursors: Cursors, newest: datetime) -> dict[str, Any]:
        """A new list: of the changes that the last one has not shown, or may have been too early for.

        Not simply of the newest minute again: a first sync changes everybody's profile within one.
        """
        is_deep = self._as_of - _instant(cursors.get("profiles_deep_at", _BEGINNING)) >= _PROFILE_DEEP_EVERY
        read_at = _instant(cursors.get("profiles_read_at", _BEGINNING))
        shown_by = read_at - (_PROFILE_DEEP_OVERLAP if is_deep else _PROFILE_OVERLAP)
        since = min(newest, shown_by) if "profiles_read_at" in cursors else newest
        return {"since": since.isoformat(), "begun_at": self._as_of.isoformat(), "is_deep": is_deep}

    def _read_campaigns(self, api: VendorApi, cursors: Cursors) -> Iterator[Record]:
        """All of them, each time: a new tag does not move a campaign's `updated_at`."""
        scopes = _Scopes(cursors.get("scopes", {}), self._as_of)
        for filtered, channel in _CHANNELS.items():
            params = {"filter": f"equals(messages.channel,'{filtered}')", "include": "tags", "page[size]": "100"}
            for page in self._pages(api, "/api/campaigns", params):
                for row in self._rows(page):
                    yield _campaign(row, "campaign", channel, scopes.of(row, _tags(page)))
        for page in self._pages(api, "/api/flows", {"include": "tags", "page[size]": "50"}, self._flow_pace):
            for row in self._rows(page):
                # A flow is listed without the channels of its actions; nearly all of them write e-mail.
                yield _campaign(row, "flow", "email", scopes.of(row, _tags(page)))
        cursors["scopes"] = scopes.seen

    def _read_events(self, api: VendorApi, cursors: Cursors) -> Iterator[Record]:
        until = _instant(cursors.get("events_since", _BEGINNING))
        is_deep = self._as_of - _instant(cursors.get("deep_at", _BEGINNING)) >= _DEEP_EVERY
        start = until - (_DEEP_OVERLAP if is_deep else _EVENT_OVERLAP)
        params = {
            "filter": f"greater-or-equal(datetime,{start.isoformat().replace('+00:00', 'Z')})",
            "sort": "datetime",
            "page[size]": "1000",
            "include": "metric,profile",
        }
        for page in self._pages(api, "/api/events", params):
            metrics = {row["id"]: _attributes(row).get("name") for row in _included(page, "metric")}
            for row in self._rows(page):
                until = max(until, _instant(_attributes(row).get("datetime")))
                kind = EVENT_TYPES.get(str(metrics.get(_related(row, "metric"))))
                if kind is not None:
                    yield event(row, kind)
            # Pages are ordered by time, so the next run need not begin before this page.
            cursors["events_since"] = until.isoformat()
        if is_deep:
            cursors["deep_at"] = self._as_of.isoformat()

    def _pages(
        self,
        api: VendorApi,
        path: str,
        params: Mapping[str, str],
        pace: RateWindow | None = None,
        after: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Pages of a list, from the first one on or from the page `after`, where the vendor still knows that."""
        try:
            page = api.get(path, {**params, "page[cursor]": after} if after else params, pace)
        except RefusalError:
            if not after:
                raise
            page = api.get(path, params, pace)
        seen: set[str] = set()
        while True:
            yield page
            links = page.get("links")
            link = links.get("next") if isinstance(links, dict) else None
            if not isinstance(link, str) or not link:
                return
            if link in seen:
                raise self._failure(f"sends the same page of {path} again and again", "ask the vendor")
            seen.add(link)
            page = api.follow(link, pace)

    def _rows(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        rows = page.get("data")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._failure("sends data in another shape", "check that its address is Klaviyo's API")
        return rows

    def _failure(self, what: str, next_step: str) -> RoomtoneError:
        return RoomtoneError(f"source {self._connection.name}", what, next_step)


def _profile(row: dict[str, Any]) -> Record:
    found = _attributes(row)
    names = [name for name in (found.get("first_name"), found.get("last_name")) if isinstance(name, str) and name]
    location = found.get("location")
    return _record(
        "customers",
        row,
        {
            "email": found.get("email"),
            "phone": found.get("phone_number"),
            "name": " ".join(names) or None,
            "timezone": location.get("timezone") if isinstance(location, dict) else None,
            "email_marketing_consent": _consent(found, "email"),
            "sms_marketing_consent": _consent(found, "sms"),
            "created_at": found.get("created"),
            "updated_at": found.get("updated"),
        },
    )


class _Scopes:
    """The scope of each campaign, and since when it has another one than when first seen: no vendor time says so."""

    def __init__(self, known: Mapping[str, list[str]], as_of: datetime) -> None:
        self.seen = dict(known)
        self._as_of = as_of

    def of(self, row: dict[str, Any], tags: Mapping[str, str]) -> tuple[str | None, str]:
        """(scope, time of its last change or an empty text) of a campaign as listed."""
        key, scope = str(row.get("id")), _scope(row, tags)
        before, changed_at = self.seen.get(key, [scope or "", ""])
        if before != (scope or ""):
            changed_at = self._as_of.isoformat()
        self.seen[key] = [scope or "", changed_at]
        return scope, changed_at


def _campaign(row: dict[str, Any], kind: str, channel: str, scope: tuple[str | None, str]) -> Record:
    found = _attributes(row)
    updated = found.get("updated_at") or found.get("updated")
    name, changed_at = scope
    if changed_at and _instant(changed_at) > _instant(updated):
        updated = changed_at
    fields = {"name": found.get("name"), "kind": kind, "channel": channel, "scope": name, "updated_at": updated}
    return _record("campaigns", row, fields)


def event(row: dict[str, Any], kind: str) -> Record:
    """What became of a mailing; `kind` is one of the values of EVENT_TYPES."""
    found = _attributes(row)
    properties = found.get("event_properties")
    about = properties if isinstance(properties, dict) else {}
    campaign = about.get("$flow") or about.get("$message") or _NO_CAMPAIGN
    profile = _related(row, "profile")
    fields = {
        "customer_id": f"klaviyo-{profile}" if profile else None,
        "campaign_id": f"klaviyo-{campaign}",
        "type": kind,
        "occurred_at": found.get("datetime"),
    }
    return _record("marketing_events", row, fields)


def _record(stream: str, row: dict[str, Any], fields: dict[str, Any]) -> Record:
    key = row.get("id")
    return Record(stream, {"id": f"klaviyo-{key}" if key else None, **fields, "vendor": row}, f"{stream}/{key}")


def _scope(row: dict[str, Any], tags: Mapping[str, str]) -> str | None:
    """The scope that a tag `roomtone:<scope>` names; None without one.

    A misspelt tag is none, so that the campaign counts as unscoped and is reported.
    """
    relationships = row.get("relationships")
    related = relationships.get("tags") if isinstance(relationships, dict) else None
    entries = related.get("data") if isinstance(related, dict) else None
    for entry in entries or []:
        name = tags.get(str(entry.get("id")), "") if isinstance(entry, dict) else ""
        scope = name.removeprefix(_SCOPE_TAG)
        if name.startswith(_SCOPE_TAG) and scope in {*SCOPES, "transactional"}:
            return scope
    return None


def _tags(page: dict[str, Any]) -> dict[str, str]:
    return {str(row["id"]): str(_attributes(row).get("name", "")) for row in _included(page, "tag")}


def _included(page: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    rows = page.get("included")
    known = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [row for row in known if row.get("type") == kind and "id" in row]


def _attributes(row: dict[str, Any]) -> dict[str, Any]:
    found = row.get("attributes")
    return found if isinstance(found, dict) else {}


def _related(row: dict[str, Any], name: str) -> str | None:
    relationships = row.get("relationships")
    related = relationships.get(name) if isinstance(relationships, dict) else None
    data = related.get("data") if isinstance(related, dict) else None
    return str(data["id"]) if isinstance(data, dict) and data.get("id") else None


def _consent(found: dict[str, Any], channel: str) -> object:
    """`SUBSCRIBED` and its like, as the contract reads them; False where the platform says nothing."""
    node: object = found.get("subscriptions")
    for name in (channel, "marketing", "consent"):
        node = node.get(name) if isinstance(node, dict) else None
    return False if node is None else node


def _page_cursor(page: Mapping[str, Any]) -> str | None:
    """The cursor of the page that follows, None at the end."""
    links = page.get("links")
    link = links.get("next") if isinstance(links, dict) else None
    return dict(parse_qsl(link.partition("?")[2])).get("page[cursor]") if isinstance(link, str) else None


def _instant(text: object) -> datetime:
    """A timestamp as aware UTC; the beginning of time for what is none, which the record's check then refuses."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        found = datetime.fromisoformat(_BEGINNING)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
