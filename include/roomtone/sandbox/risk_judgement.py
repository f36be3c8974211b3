"""Judges the risk head against the planted hazards: a brand of this sandbox lives for weeks, sends and is left.

The head learns from the sends of the first part and is judged on those of the rest, of customers it has not seen.
Everything printed is simulated: it shows that the head finds what was planted, not what a real inbox holds.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from roomtone.sandbox.hazards import hazard
from roomtone.sandbox.world import Plan, World
from roomtone.score import risk
from roomtone.score.model import Model
from roomtone.score.risk_features import SCHEMAS, Doubles, Facts, describe
from roomtone.settings import load_settings

START = datetime(2026, 3, 2, tzinfo=UTC)
_ENDINGS = {"Unsubscribed from Email Marketing", "Marked Email as Spam"}
_TYPES = {"Received Email": "sent", "Opened Email": "opened", "Clicked Email": "clicked"}
_LEARNED_SHARE = 0.6


def judge(model: Model, customers: int = 3000, days: int = 80, seed: int = 7) -> dict[str, Any]:
    """Figures of the rule and of the learned head against the planted chances, as JSON knows them."""
    world = World(Plan(start=START, seed=seed, customers=customers, history_days=days))
    moments, outcome, planted = _sends(world)
    columns = describe(moments, _facts(world, model))
    names = moments["customer_id"].to_pylist()
    is_judged = np.array([int(name) % 5 >= 5 * _LEARNED_SHARE for name in names])
    taught = ~is_judged
    learned = risk.learn(
        columns[taught], outcome[taught], [name for name, use in zip(names, taught, strict=True) if use], seed
    )
    return {
        "is_simulated": True,
        "customers": customers,
        "days": days,
        "sends": len(outcome),
        "sends_judged": int(is_judged.sum()),
        "outcomes": int(outcome.sum()),
        "decision": learned.line,
        "in_use": learned.head.version,
        "rule": _figures(risk.by_rule(columns[is_judged]), outcome[is_judged], planted[is_judged]),
        "head": _figures(learned.head.apply(columns[is_judged]), outcome[is_judged], planted[is_judged]),
        "planted": _figures(planted[is_judged], outcome[is_judged], planted[is_judged]),
    }


def _figures(chances: Doubles, outcome: np.ndarray, planted: Doubles) -> dict[str, float]:
    """AUC of the outcomes and of being upset (a planted chance above a twentieth), mean chances, and the calibration
    error against the planted chances over ten equal groups.
    """
    from sklearn.metrics import roc_auc_score

    groups = np.array_split(np.argsort(chances, kind="stable"), 10)
    gaps = [abs(chances[group].mean() - planted[group].mean()) for group in groups]
    return {
        "auc_outcome": round(float(roc_auc_score(outcome, chances)), 4),
        "auc_upset": round(float(roc_auc_score(planted > 0.05, chances)), 4),
        "mean_chance": round(float(chances.mean()), 5),
        "mean_planted": round(float(planted.mean()), 5),
        "calibration_error_planted": round(float(np.mean(gaps)), 5),
        "log_loss": round(risk.log_loss(outcome, chances), 5),
    }


def _sends(world: World) -> tuple[pa.Table, np.ndarray, Doubles]:
    """Promotional e-mails that went out, whether they ended badly within a week, and the planted chance of it."""
    ended: dict[tuple[str, str], datetime] = {}
    for event in world.marketing.events.values():
        if event.metric in _ENDINGS:
            key = (event.profile_id, str(event.properties["$message"]))
            ended[key] = min(event.at, ended.get(key, event.at))
    profiles = {profile.customer.number: profile for profile in world.marketing.profiles.values()}
    rows, outcome, planted = [], [], []
    for campaign_id, book in world.marketing.sends.items():
        campaign = world.marketing.campaigns[campaign_id]
        at = campaign.scheduled_at
        # What the story tells of its people is no chance.
        if campaign.channel != "email" or at is None or at > START - timedelta(days=risk.OUTCOME_DAYS):
            continue
        for number, heat, reason in book:
            profile = profiles[number]
            if reason is None and not profile.customer.is_story:
                ending = ended.get((profile.id, campaign_id))
                unsubscribe, complain = hazard(heat)
                rows.append({"customer_id": profile.customer.shop_id, "occurred_at": _naive(at)})
                outcome.append(ending is not None and ending < at + timedelta(days=risk.OUTCOME_DAYS))
                planted.append(complain + (1 - complain) * unsubscribe)
    return pa.Table.from_pylist(rows, SCHEMAS["moments"]), np.array(outcome), np.array(planted)


def _facts(world: World, model: Model) -> Facts:
    messages, replies = [], []
    for ticket in world.helpdesk.tickets.values():
        customer = ticket.customer.shop_id
        for comment in ticket.comments:
            if comment.truth is not None:
                messages.append((customer, str(ticket.id), _naive(comment.at), comment.body))
            elif comment.is_public:
                replies.append({"ticket_id": str(ticket.id), "occurred_at": _naive(comment.at)})
    texts = pa.table({"id": [str(row) for row in range(len(messages))], "text": [row[3] for row in messages]})
    scores = model.score(texts)
    threats = [json.loads(cues)["threat"] for cues in scores["cues"].to_pylist()]
    shipments = world.shop.shipments.values()
    events = world.marketing.events.values()
    return Facts.of(
        {
            "messages": pa.table(
                [
                    pa.array([row[0] for row in messages], pa.string()),
                    pa.array([row[1] for row in messages], pa.string()),
                    pa.array([row[2] for row in messages], pa.timestamp("us")),
                    scores["p_negative"],
                    pa.array(threats, pa.float64()),
                ],
                names=SCHEMAS["messages"].names,
            ),
            "replies": pa.Table.from_pylist(replies, SCHEMAS["replies"]),
            "tickets": pa.Table.from_pylist(_live_intervals(world), SCHEMAS["tickets"]),
            "orders": pa.Table.from_pylist(
                [
                    {
                        "customer_id": order.customer.shop_id,
                        "occurred_at": _naive(order.placed_at),
                        "total": float(order.total),
                    }
                    for order in world.shop.orders.values()
                ],
                SCHEMAS["orders"],
            ),
            "shipments": pa.Table.from_pylist(
                [
                    {
                        "customer_id": shipment.order.customer.shop_id,
                        "promised_at": _naive(shipment.promised_at),
                        "delivered_at": _naive(shipment.delivered_at) if shipment.delivered_at else None,
                    }
                    for shipment in shipments
                ],
                SCHEMAS["shipments"],
            ),
            "promotions": pa.Table.from_pylist(
                [
                    {
                        "customer_id": world.marketing.profiles[event.profile_id].customer.shop_id,
                        "occurred_at": _naive(event.at),
                        "type": _TYPES[event.metric],
                    }
                    for event in events
                    if event.metric in _TYPES and "$flow" not in event.properties
                ],
                SCHEMAS["promotions"],
            ),
        }
    )


def _live_intervals(world: World) -> list[dict[str, Any]]:
    """Live intervals of tickets, from the events of the helpdesk."""
    live = {"new", "open", "pending", "hold"}
    since: dict[int, datetime] = {}
    found: list[dict[str, Any]] = []
    for _, key in world.helpdesk.event_order:
        event = world.helpdesk.events[key]
        ticket = world.helpdesk.tickets[event["ticket_id"]]
        for child in event["children"]:
            status = child.get("status")
            if status is None:
                continue
            if status in live:
                since.setdefault(ticket.id, event["at"])
            elif ticket.id in since:
                found.append(_interval(ticket.customer.shop_id, since.pop(ticket.id), event["at"]))
    for number, begun in since.items():
        found.append(_interval(world.helpdesk.tickets[number].customer.shop_id, begun, None))
    return found


def _interval(customer: str, begun: datetime, ended: datetime | None) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "live_from": _naive(begun),
        "live_to": None if ended is None else _naive(ended),
    }


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


if __name__ == "__main__":
    json.dump(judge(Model.load(load_settings().model_dir)), sys.stdout, indent=2)
    sys.stdout.write("\n")
