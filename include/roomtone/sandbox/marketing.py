"""State of the marketing platform: profiles, events, campaigns and flows, and what happens when one is sent."""

from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from roomtone.sandbox.chance import token, uuid
from roomtone.sandbox.clock import parse
from roomtone.sandbox.faults import NO_FAULTS, FaultPlan
from roomtone.sandbox.hazards import hazard, reactions
from roomtone.sandbox.records import Campaign, Customer, Event, Profile
from roomtone.sandbox.schedule import Schedule
from roomtone.sandbox.witness import Witness

RECOVERY_PREFIX = "roomtone "
RELEASE_METRIC = "Roomtone Welcome Back Due"
# How long after a release campaigns leave out whom it befell.
RAMP = timedelta(hours=24)
# Offers are marketing: they need consent. An apology or a confirmation is service mail.
OFFER_WORDS = ("discount", "free shipping", "welcome back")


class Marketing:
    """Profiles by id, events by id and by time, campaigns and flows by id."""

    def __init__(self, seed: int, witness: Witness, schedule: Schedule) -> None:
        self.profiles: dict[str, Profile] = {}
        self.profile_of: dict[int, Profile] = {}
        self.by_email: dict[str, list[Profile]] = {}
        # Grows whenever a profile is made, merged or updated.
        self.changes = 0
        self.events: dict[str, Event] = {}
        self.event_order: list[tuple[datetime, str]] = []
        self.metrics: dict[str, tuple[str, datetime]] = {}
        self.campaigns: dict[str, Campaign] = {}
        # Per campaign: customer number, how upset the customer was, and the reason for leaving them out or None.
        self.sends: dict[str, list[tuple[int, int, str | None]]] = {}
        # Nothing goes wrong until a test asks for it.
        self.faults: FaultPlan = NO_FAULTS
        self.event_visible_at: dict[str, datetime] = {}
        # Profiles without an address that an event made, by the id it named, and since when.
        self.strays: dict[str, datetime] = {}
        self._seen: set[tuple[str, str, str]] = set()
        self._seed = seed
        self._witness = witness
        self._schedule = schedule

    def add_profile(self, customer: Customer) -> Profile:
        """A profile with the consent that the customer gave. Made by the world, never by a call of roomtone."""
        profile = Profile(
            id=token(self._seed, "profile", customer.number),
            customer=customer,
            created_at=customer.created_at,
            updated_at=customer.created_at,
            is_email_subscribed=customer.email_consent,
            is_sms_subscribed=customer.sms_consent,
            consent_changed_at=customer.created_at,
        )
        self.profiles[profile.id] = profile
        self.by_email.setdefault(customer.platform_email, []).append(profile)
        self.changes += 1
        self.profile_of[customer.number] = profile
        return profile

    def add_campaign(self, campaign: Campaign) -> Campaign:
        self.campaigns[campaign.id] = campaign
        return campaign

    def metric_id(self, name: str, at: datetime) -> str:
        """The id of a metric; the first use of a name makes it."""
        if name not in self.metrics:
            self.metrics[name] = (token(self._seed, "metric", name, prefix="", length=6), at)
        return self.metrics[name][0]

    def record(
        self,
        profile: Profile,
        metric: str,
        properties: Mapping[str, Any],
        *,
        at: datetime,
        arrived_at: datetime,
        unique_id: str,
        value: float | None = None,
    ) -> Event | None:
        """Records an event; None when this profile and metric already have one with this `unique_id`."""
        event = self._record(
            profile.id, metric, properties, at=at, arrived_at=arrived_at, unique_id=unique_id, value=value
        )
        if event is not None:
            profile.last_event_at = max(profile.last_event_at or event.at, event.at)
        return event

    def record_for_nobody(
        self, profile_id: str, metric: str, properties: Mapping[str, Any], *, at: datetime, unique_id: str
    ) -> None:
        """Records an event under an id that is gone: it makes a profile that has no address and reaches nobody."""
        self.strays.setdefault(profile_id, at)
        self._record(profile_id, metric, properties, at=at, arrived_at=at, unique_id=unique_id, value=None)

    def _record(
        self,
        profile_id: str,
        metric: str,
        properties: Mapping[str, Any],
        *,
        at: datetime,
        arrived_at: datetime,
        unique_id: str,
        value: float | None,
    ) -> Event | None:
        key = (profile_id, metric, unique_id)
        if key in self._seen:
            return None
        self._seen.add(key)
        self.metric_id(metric, arrived_at)
        # The platform keeps event times to the second.
        at = at.replace(microsecond=0)
        event = Event(
            id=token(self._seed, "event", *key, prefix="4", length=11),
            uuid=uuid(self._seed, "event", *key),
            metric=metric,
            profile_id=profile_id,
            at=at,
            arrived_at=arrived_at,
            properties={**properties, "$event_id": unique_id},
            unique_id=unique_id,
            value=value,
        )
        self.events[event.id] = event
        self.event_visible_at[event.id] = arrived_at + self.faults.visibility_lag()
        insort(self.event_order, (event.at, event.id))
        return event

    def update_properties(self, profile: Profile, wanted: Mapping[str, Any], at: datetime) -> dict[str, Any]:
        """Sets the properties given, `None` clears one; returns and logs `{name: [old, new]}` for what changed."""
        lag = self.faults.visibility_lag()
        if lag:
            profile.shown_before = dict(profile.shown_at(at))
            profile.visible_at = at + lag
        changed = {}
        for name, new in wanted.items():
            old = profile.properties.get(name)
            if new == old and type(new) is type(old):
                continue
            changed[name] = [old, new]
            if new is None:
                profile.properties.pop(name, None)
            else:
                profile.properties[name] = new
        profile.updated_at = at
        self.changes += 1
        facts = {"profile_id": profile.id, "external_id": external_id(profile), "changed": changed}
        self._witness.record(at, "profile_updated", facts)
        return changed

    def edit_by_hand(self, profile: Profile, wanted: Mapping[str, Any], at: datetime) -> None:
        """Somebody at the brand changes properties of a profile in the platform's own pages."""
        profile.properties.update(wanted)
        profile.updated_at = at
        self.changes += 1
        self._witness.record(at, "hand_edit", {"profile_id": profile.id, "changed": dict(wanted)})

    def merge(self, profile: Profile, at: datetime) -> None:
        """The platform finds that a profile is somebody it has under another id: properties and events go there.

        The old id is gone, and what the platform remembers of `unique_id`s stays with it.
        """
        old = profile.id
        del self.profiles[old]
        self.changes += 1
        profile.id = token(self._seed, "profile", profile.customer.number, old)
        self.profiles[profile.id] = profile
        for event in [event for event in self.events.values() if event.profile_id == old]:
            self.events[event.id] = replace(event, profile_id=profile.id)
        self._witness.record(at, "profile_merged", {"from": old, "profile_id": profile.id})

    def send_campaign(self, campaign: Campaign, at: datetime) -> None:
        """Sends to everybody with consent, except whom the profile filter leaves out at this instant."""
        campaign.status, campaign.updated_at = "Sent", at
        book = self.sends.setdefault(campaign.id, [])
        for profile in self._listed():
            reason = skip_reason(profile, campaign, at)
            book.append((profile.customer.number, profile.customer.heat_at(at), reason))
            if reason is None:
                self._deliver(profile, campaign, at)
            else:
                self._log_send(profile, campaign, at, reason)

    def expected(self, campaign: Campaign, at: datetime) -> dict[str, Any]:
        """What the planted hazards expect of a campaign, with the pauses and without them. Simulated figures.

        Before the campaign is sent this is a forecast from the state at this moment, at time `at`.
        """
        book = self.sends.get(campaign.id)
        is_sent = book is not None
        if book is None:
            reasons = ((p.customer, skip_reason(p, campaign, at)) for p in self._listed())
            book = [(customer.number, customer.heat_at(at), reason) for customer, reason in reasons]
        with_consent = [row for row in book if row[2] != "no_consent"]
        reached = [row for row in with_consent if row[2] is None]
        return {
            "campaign_id": campaign.id,
            "name": campaign.name,
            "is_sent": is_sent,
            "is_simulated": True,
            "without_pauses": _expectation(with_consent),
            "with_pauses": _expectation(reached),
            "left_out": [str(1000 + number) for number, _, reason in with_consent if reason is not None],
            "upset_and_reached": [str(1000 + number) for number, heat, _ in reached if heat >= 2],
        }

    def _listed(self) -> Iterator[Profile]:
        return (profile for profile in self.profiles.values() if profile.is_listed)

    def send_flow(self, flow: Campaign, profile: Profile, at: datetime, occasion: str) -> None:
        """Sends one mail of a flow to one profile; `occasion` names what it is about, as an order or an event."""
        reason = skip_reason(profile, flow, at)
        if reason is None:
            self._deliver(profile, flow, at, occasion)
        else:
            self._log_send(profile, flow, at, reason, occasion)

    def start_recovery(self, profile: Profile, event: Event, at: datetime) -> None:
        """The flow that a recovery event of roomtone starts: one mail, half a minute later."""
        if event.metric == RELEASE_METRIC:
            profile.released_at = at
        flow = self.flow_for(event.metric, at)
        is_offer = any(word in event.metric.lower() for word in OFFER_WORDS)

        def send(due: datetime) -> None:
            if is_offer and not profile.is_email_subscribed:
                self._log_send(profile, flow, due, "no_consent", event.unique_id)
            else:
                self.send_flow(flow, profile, due, event.unique_id)

        self._schedule.add(at + timedelta(seconds=30), send)

    def flow_for(self, metric: str, at: datetime) -> Campaign:
        """The flow that a metric starts; a recovery metric seen for the first time gets one."""
        for campaign in self.campaigns.values():
            if campaign.trigger_metric == metric:
                return campaign
        flow_id = token(self._seed, "flow", metric, prefix="", length=6)
        flow = Campaign(
            flow_id, "flow", f"{metric} flow", "email", "transactional", metric, at, at, None, "live", metric
        )
        return self.add_campaign(flow)

    def _deliver(self, profile: Profile, campaign: Campaign, at: datetime, occasion: str = "") -> None:
        self._log_send(profile, campaign, at, None, occasion)
        about = {"Subject": campaign.subject, "Campaign Name": campaign.name, "$message": campaign.id}
        if campaign.kind == "flow":
            about = {"Subject": campaign.name, "$flow": campaign.id, "$message": campaign.id}
        heat = profile.customer.heat_at(at)
        for metric, delay, lag in reactions(self._seed, campaign, profile, heat, occasion):
            unique_id = f"{campaign.id}-{occasion or 'once'}-{metric}"
            happened = at + timedelta(seconds=delay)

            def arrive(
                now: datetime, metric: str = metric, happened: datetime = happened, uid: str = unique_id
            ) -> None:
                self.record(profile, metric, about, at=happened, arrived_at=now, unique_id=uid)
                if metric in {"Unsubscribed from Email Marketing", "Marked Email as Spam"}:
                    self.withdraw(profile, "email", now)
                elif metric == "Unsubscribed from SMS Marketing":
                    self.withdraw(profile, "sms", now)

            self._schedule.add(happened + timedelta(seconds=lag), arrive)

    def withdraw(self, profile: Profile, channel: str, at: datetime) -> None:
        """A person takes consent back; the shop hears of it at once."""
        if channel == "email":
            profile.is_email_subscribed = profile.customer.email_consent = False
        else:
            profile.is_sms_subscribed = profile.customer.sms_consent = False
        profile.updated_at = profile.consent_changed_at = profile.customer.updated_at = at
        self.changes += 1

    def _log_send(
        self, profile: Profile, campaign: Campaign, at: datetime, reason: str | None, occasion: str = ""
    ) -> None:
        facts = {
            "campaign_id": campaign.id,
            "campaign_kind": campaign.kind,
            "name": campaign.name,
            "channel": campaign.channel,
            "scope": campaign.scope,
            "profile_id": profile.id,
            "external_id": external_id(profile),
            "customer": profile.customer.shop_id,
            "outcome": "sent" if reason is None else "skipped",
            "reason": reason,
            "occasion": occasion or None,
        }
        self._witness.record(at, "campaign_send", facts)


def external_id(profile: Profile) -> str | None:
    """The shop's customer id where the platform knows it; one profile in twenty was made from an e-mail alone."""
    return profile.customer.shop_id if profile.customer.number % 20 or profile.customer.is_story else None


def skip_reason(profile: Profile, campaign: Campaign, at: datetime) -> str | None:
    """Why a send leaves a profile out: `no_consent`, `paused`, `ramp`, or None. Service mail is never left out."""
    if campaign.scope == "transactional":
        return None
    is_subscribed = profile.is_email_subscribed if campaign.channel == "email" else profile.is_sms_subscribed
    if not is_subscribed:
        return "no_consent"
    if is_paused(profile.properties, campaign.scope, at):
        return "paused"
    # The exclusion of whoever has had the event of a release within a day, where one is sent at all.
    return "ramp" if profile.released_at is not None and at - profile.released_at < RAMP else None


def is_paused(properties: Mapping[str, Any], scope: str | None, at: datetime) -> bool:
    """The profile filter on a promotional send: `roomtone_pause_<scope>` is true and `roomtone_pause_until` is ahead.

    Nobody put a filter on a campaign without a scope, so it leaves nobody out.
    """
    if scope is None or properties.get(f"roomtone_pause_{scope}") is not True:
        return False
    try:
        return parse(str(properties.get("roomtone_pause_until"))) > at
    except ValueError:
        return False


def _expectation(rows: list[tuple[int, int, str | None]]) -> dict[str, float]:
    """Recipients, how many of them were upset, and the reactions that the hazards expect of them."""
    hazards = [hazard(heat) for _, heat, _ in rows]
    return {
        "recipients": len(rows),
        "upset_recipients": sum(heat >= 2 for _, heat, _ in rows),
        "expected_unsubscribes": round(sum(unsubscribe for unsubscribe, _ in hazards), 3),
        "expected_complaints": round(sum(complaint for _, complaint in hazards), 3),
    }
