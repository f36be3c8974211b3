"""What Klaviyo is about to send: live campaigns and flows, and whether they leave paused profiles out."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from roomtone.contract import SCOPES
from roomtone.errors import RoomtoneError
from roomtone.sync.destinations.base import PromotionalSend
from roomtone.sync.transport import Transport

_CHANNELS = ("email", "sms", "mobile_push")
# Campaigns that have been sent or given up are over.
_LIVE_CAMPAIGNS = frozenset({"Draft", "Scheduled", "Sending", "Queued without Recipients", "Preparing to send"})
_TAG_PREFIX = "roomtone:"
_PAUSE = re.compile(r"properties\['(roomtone_pause_\w+)'\]")


def pages(http: Transport, page: Any) -> Iterator[dict[str, Any]]:
    """The rows of a list, page after page; raises RoomtoneError for a list that goes round in a circle."""
    for whole in whole_pages(http, page):
        yield from whole["data"]


def whole_pages(http: Transport, page: Any) -> Iterator[dict[str, Any]]:
    """The pages of a list, each with what it includes; raises RoomtoneError like `pages`."""
    followed: set[str] = set()
    while True:
        yield page
        # The end of a list is a missing `next` or a null one.
        link = (page.get("links") or {}).get("next")
        if not link:
            return
        if link in followed:
            raise RoomtoneError("klaviyo page link", "leads round in a circle", "try again; then tell the vendor")
        followed.add(link)
        page = http.follow(link)


def promotional_sends(http: Transport) -> list[PromotionalSend]:
    """Every live campaign and flow with its scope, from its tag, and the pauses that leave somebody out of it."""
    excluding = {row["id"]: _pauses(row["attributes"].get("definition"), value=True) for row in _segments(http)}
    found = []
    for channel in _CHANNELS:
        params = {"filter": f"equals(messages.channel,'{channel}')", "include": "tags"}
        for row, tags in _with_tags(http, http.call("GET", "/api/campaigns", params=params)):
            facts = row["attributes"]
            if facts["status"] in _LIVE_CAMPAIGNS and not facts.get("archived"):
                left_out = (excluding.get(i, frozenset()) for i in (facts.get("audiences") or {}).get("excluded") or ())
                found.append(_send(row, "campaign", channel, tags, frozenset().union(*left_out)))
    for row, tags in _with_tags(http, http.call("GET", "/api/flows", params={"include": "tags"})):
        facts = row["attributes"]
        if facts["status"] == "live" and not facts.get("archived"):
            params = {"additional-fields[flow]": "definition"}
            flow = http.call("GET", f"/api/flows/{row['id']}", params=params)["data"]["attributes"]
            profile_filter = (flow.get("definition") or {}).get("profile_filter")
            found.append(_send(row, "flow", "email", tags, _pauses(profile_filter, value=False)))
    return found


def _segments(http: Transport) -> Iterator[dict[str, Any]]:
    return pages(http, http.call("GET", "/api/segments", params={"fields[segment]": "name,definition"}))


def _with_tags(http: Transport, page: Any) -> Iterator[tuple[dict[str, Any], Mapping[str, str]]]:
    """Rows over all pages, each with the tags of its own page, name by id."""
    for whole in whole_pages(http, page):
        tags = {row["id"]: row["attributes"]["name"] for row in whole.get("included") or () if row["type"] == "tag"}
        for row in whole["data"]:
            yield row, tags


def _send(
    row: Mapping[str, Any], kind: str, channel: str, tags: Mapping[str, str], excluded_by: frozenset[str]
) -> PromotionalSend:
    linked = ((row.get("relationships") or {}).get("tags") or {}).get("data") or ()
    names = [tags.get(tag["id"], "") for tag in linked]
    scopes = [name.removeprefix(_TAG_PREFIX) for name in names if name.startswith(_TAG_PREFIX)]
    known = [scope for scope in scopes if scope in SCOPES or scope == "transactional"]
    return PromotionalSend(
        send_id=str(row["id"]),
        kind=kind,
        name=str(row["attributes"]["name"]),
        channel=channel,
        scope=known[0] if known else None,
        excluded_by=excluded_by,
    )


def _pauses(definition: Any, *, value: bool) -> frozenset[str]:
    """The pause properties that some condition of a definition compares with `value`."""
    found = set()
    for group in (definition or {}).get("condition_groups") or ():
        for condition in group.get("conditions") or ():
            named = _PAUSE.fullmatch(str(condition.get("property")))
            if named and (condition.get("filter") or {}).get("value") is value:
                found.add(named[1])
    return frozenset(found)
