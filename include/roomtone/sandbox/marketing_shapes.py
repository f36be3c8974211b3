"""Klaviyo's JSON:API shapes of the platform's records."""

from datetime import datetime
from typing import Any

from roomtone.sandbox.chance import token
from roomtone.sandbox.clock import offset_text
from roomtone.sandbox.marketing import external_id
from roomtone.sandbox.records import Campaign, Event, Profile

LIST_ID = "RtNews"


def segment_id(scope: str, seed: int) -> str:
    return token(seed, "segment", scope, prefix="S", length=6)


def segment(scope: str, made: datetime, base_url: str, seed: int) -> dict[str, Any]:
    """Everybody who is paused for a scope; campaigns of the scope leave them out."""
    number = segment_id(scope, seed)
    url = f"{base_url}/api/segments/{number}"
    return {
        "type": "segment",
        "id": number,
        "attributes": {
            "name": f"roomtone paused: {scope}",
            "definition": {"condition_groups": [{"conditions": [_is_paused(scope, value=True)]}]},
            "created": offset_text(made),
            "updated": offset_text(made),
            "is_active": True,
            "is_processing": False,
            "is_starred": False,
        },
        "relationships": {
            "profiles": {"links": _links(url, "profiles")},
            "tags": {"links": _links(url, "tags")},
            "flow-triggers": {"links": _links(url, "flow-triggers")},
        },
        "links": {"self": f"{url}/"},
    }


def _is_paused(scope: str, *, value: bool) -> dict[str, Any]:
    return {
        "type": "profile-property",
        "property": f"properties['roomtone_pause_{scope}']",
        "filter": {"type": "boolean", "operator": "equals", "value": value},
    }


def flow_definition(found: Campaign) -> dict[str, Any]:
    """What a flow does: its profile filter lets in whom nothing of its scope pauses."""
    is_filtered = found.scope is not None and found.scope != "transactional"
    groups = [{"conditions": [_is_paused(str(found.scope), value=False)]}]
    return {
        "triggers": [],
        "profile_filter": {"condition_groups": groups} if is_filtered else None,
        "actions": [],
        "entry_action_id": None,
    }


def profile(
    found: Profile, base_url: str, *, has_subscriptions: bool = False, at: datetime | None = None
) -> dict[str, Any]:
    """A profile as shown at an instant; `subscriptions` only when asked for with `additional-fields[profile]`."""
    person = found.customer
    attributes: dict[str, Any] = {
        "email": person.platform_email,
        "phone_number": person.phone,
        "external_id": external_id(found),
        "first_name": person.first_name,
        "last_name": person.last_name,
        "organization": None,
        "locale": "en-GB",
        "title": None,
        "image": None,
        "created": offset_text(found.created_at),
        "updated": offset_text(found.updated_at),
        "last_event_date": offset_text(found.last_event_at) if found.last_event_at else None,
        "location": {"timezone": person.timezone, "country": None, "city": None},
        "properties": dict(found.properties if at is None else found.shown_at(at)),
    }
    if has_subscriptions:
        attributes["subscriptions"] = _subscriptions(found)
    url = f"{base_url}/api/profiles/{found.id}"
    return {"type": "profile", "id": found.id, "attributes": attributes, "links": {"self": f"{url}/"}}


def stray_profile(number: str, made: datetime, base_url: str) -> dict[str, Any]:
    """A profile of which nothing is known but that it has an event."""
    names = ("email", "phone_number", "external_id", "first_name", "last_name", "organization", "locale", "title")
    attributes = dict.fromkeys((*names, "image"))
    attributes |= dict.fromkeys(("created", "updated", "last_event_date"), offset_text(made))
    location = {"timezone": None, "country": None, "city": None}
    url = f"{base_url}/api/profiles/{number}"
    return {
        "type": "profile",
        "id": number,
        "attributes": {**attributes, "location": location, "properties": {}},
        "links": {"self": f"{url}/"},
    }


def _subscriptions(found: Profile) -> dict[str, Any]:
    changed = offset_text(found.consent_changed_at) if found.consent_changed_at else None

    def consent(is_subscribed: bool, flag: str) -> dict[str, Any]:
        return {
            flag: is_subscribed,
            "consent": "SUBSCRIBED" if is_subscribed else "UNSUBSCRIBED",
            "consent_timestamp": changed,
            "last_updated": changed,
            "method": "PREFERENCE_PAGE",
            "method_detail": "",
        }

    email = consent(found.is_email_subscribed, "can_receive_email_marketing")
    email |= {"custom_method_detail": None, "double_optin": False, "suppression": [], "list_suppressions": []}
    return {
        "email": {"marketing": email},
        "sms": {"marketing": consent(found.is_sms_subscribed, "can_receive_sms_marketing")},
    }


def event(found: Event, metric_id: str, base_url: str) -> dict[str, Any]:
    url = f"{base_url}/api/events/{found.id}"
    return {
        "type": "event",
        "id": found.id,
        "attributes": {
            "timestamp": int(found.at.timestamp()),
            "event_properties": found.properties | ({"$value": found.value} if found.value is not None else {}),
            "datetime": offset_text(found.at),
            "uuid": found.uuid,
        },
        "relationships": {
            "profile": _to_one("profile", found.profile_id, url),
            "metric": _to_one("metric", metric_id, url),
        },
        "links": {"self": f"{url}/"},
    }


def metric(name: str, metric_id: str, made: datetime, base_url: str) -> dict[str, Any]:
    is_own = not name.startswith("Roomtone ")
    integration = {
        "object": "integration",
        "id": "0rG4eQ" if is_own else "7FtS4J",
        "name": "Klaviyo" if is_own else "API",
    }
    return {
        "type": "metric",
        "id": metric_id,
        "attributes": {
            "name": name,
            "created": offset_text(made),
            "updated": offset_text(made),
            "integration": integration | {"category": "Internal" if is_own else "API"},
        },
        "links": {"self": f"{base_url}/api/metrics/{metric_id}/"},
    }


def campaign(found: Campaign, base_url: str, seed: int) -> dict[str, Any]:
    url = f"{base_url}/api/campaigns/{found.id}"
    due = offset_text(found.scheduled_at or found.created_at)
    is_sent = found.status == "Sent"
    return {
        "type": "campaign",
        "id": found.id,
        "attributes": {
            "name": found.name,
            "status": found.status,
            "archived": False,
            "audiences": {"included": [LIST_ID], "excluded": _excluded(found, seed)},
            "send_options": {"use_smart_sending": False},
            "tracking_options": {"add_tracking_params": True, "is_tracking_opens": True, "is_tracking_clicks": True}
            if found.channel == "email"
            else {"add_tracking_params": True},
            "send_strategy": {"method": "static", "datetime": due, "options": {"is_local": False}},
            "created_at": offset_text(found.created_at),
            "scheduled_at": offset_text(found.created_at),
            "updated_at": offset_text(found.updated_at),
            "send_time": due if is_sent or found.scheduled_at else None,
        },
        "relationships": {
            "campaign-messages": {
                "data": [{"type": "campaign-message", "id": message_id(found, seed)}],
                "links": _links(url, "campaign-messages"),
            },
            "tags": {"data": _tag_ids(found, seed), "links": _links(url, "tags")},
        },
        "links": {"self": f"{url}/"},
    }


def _excluded(found: Campaign, seed: int) -> list[str]:
    return [segment_id(found.scope, seed)] if found.scope and found.scope != "transactional" else []


def campaign_message(found: Campaign, base_url: str, seed: int) -> dict[str, Any]:
    number = message_id(found, seed)
    url = f"{base_url}/api/campaign-messages/{number}"
    content: dict[str, Any] = {"body": found.subject, "media_url": None}
    definition: dict[str, Any] = {"channel": "sms", "content": content}
    if found.channel == "email":
        content = {"subject": found.subject, "preview_text": "", "from_email": "hello@roomtone-and-co.example"}
        content |= {"from_label": "Roomtone & Co.", "reply_to_email": None, "cc_email": None, "bcc_email": None}
        definition = {"channel": "email", "label": found.name, "content": content}
    due = offset_text(found.scheduled_at or found.created_at)
    return {
        "type": "campaign-message",
        "id": number,
        "attributes": {
            "definition": definition,
            "send_times": [{"datetime": due, "is_local": False}],
            "created_at": offset_text(found.created_at),
            "updated_at": offset_text(found.updated_at),
        },
        "relationships": {"campaign": _to_one("campaign", found.id, url)},
        "links": {"self": f"{url}/"},
    }


def flow(found: Campaign, base_url: str, seed: int) -> dict[str, Any]:
    url = f"{base_url}/api/flows/{found.id}"
    return {
        "type": "flow",
        "id": found.id,
        "attributes": {
            "name": found.name,
            "status": found.status,
            "archived": False,
            "created": offset_text(found.created_at),
            "updated": offset_text(found.updated_at),
            "trigger_type": "Metric",
        },
        "relationships": {
            "flow-actions": {"data": [], "links": _links(url, "flow-actions")},
            "tags": {"data": _tag_ids(found, seed), "links": _links(url, "tags")},
        },
        "links": {"self": f"{url}/"},
    }


def tag(scope: str, base_url: str, seed: int) -> dict[str, Any]:
    """The tag that names a scope: `roomtone:<scope>`."""
    number = tag_id(scope, seed)
    attributes = {"name": f"roomtone:{scope}"}
    return {"type": "tag", "id": number, "attributes": attributes, "links": {"self": f"{base_url}/api/tags/{number}/"}}


def job(found: dict[str, Any], base_url: str) -> dict[str, Any]:
    url = f"{base_url}/api/profile-bulk-import-jobs/{found['id']}"
    names = (
        "status",
        "created_at",
        "total_count",
        "completed_count",
        "failed_count",
        "completed_at",
        "expires_at",
        "started_at",
    )
    return {
        "type": "profile-bulk-import-job",
        "id": found["id"],
        "attributes": {name: found[name] for name in names},
        "relationships": {
            "lists": {"data": [], "links": _links(url, "lists")},
            "profiles": {"links": _links(url, "profiles")},
            "import-errors": {"links": {"related": f"{url}/import-errors/"}},
        },
        "links": {"self": f"{url}/"},
    }


def account(base_url: str) -> dict[str, Any]:
    address = {
        "address1": "Keizersgracht 1",
        "address2": None,
        "city": "Amsterdam",
        "region": None,
        "country": "NL",
        "zip": None,
    }
    contact = {
        "default_sender_name": "Roomtone & Co.",
        "default_sender_email": "hello@roomtone-and-co.example",
        "website_url": None,
        "organization_name": "Roomtone & Co.",
        "street_address": address,
    }
    attributes = {
        "test_account": True,
        "contact_information": contact,
        "industry": "Ecommerce, Home & Garden",
        "timezone": "Europe/Amsterdam",
        "preferred_currency": "EUR",
        "public_api_key": "RtSbx1",
        "locale": "en-GB",
    }
    return {
        "type": "account",
        "id": "RtSbx1",
        "attributes": attributes,
        "links": {"self": f"{base_url}/api/accounts/RtSbx1/"},
    }


def tag_id(scope: str, seed: int) -> str:
    return token(seed, "tag", scope, prefix="b", length=12).lower()


def message_id(found: Campaign, seed: int) -> str:
    return token(seed, "campaign message", found.id)


def _tag_ids(found: Campaign, seed: int) -> list[dict[str, str]]:
    return [{"type": "tag", "id": tag_id(found.scope, seed)}] if found.scope else []


def _to_one(kind: str, number: str, url: str) -> dict[str, Any]:
    return {"data": {"type": kind, "id": number}, "links": _links(url, kind)}


def _links(url: str, name: str) -> dict[str, str]:
    return {"self": f"{url}/relationships/{name}/", "related": f"{url}/{name}/"}
