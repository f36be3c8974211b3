"""What was planted, for whoever judges roomtone: never an input of it."""

from typing import Any

from roomtone.sandbox.clock import rfc3339
from roomtone.sandbox.world import World


def truth(world: World) -> dict[str, Any]:
    """`{"messages": [...], "customers": [...]}` as they stand now.

    A message: message_id, ticket_id, customer (the shop's id), at, channel, sentiment, urgency, intent, flags,
    heat (0 to 3).
    A customer: shop_id, zendesk_user_id, klaviyo_profile_id or None, heat, heat_until or None.
    """
    messages = []
    for ticket in world.helpdesk.tickets.values():
        for comment in ticket.comments:
            planted = comment.truth
            if planted is None:
                continue
            messages.append(
                {
                    "message_id": comment.id,
                    "ticket_id": ticket.id,
                    "customer": ticket.customer.shop_id,
                    "at": rfc3339(comment.at),
                    "channel": ticket.channel,
                    "sentiment": planted.sentiment,
                    "urgency": planted.urgency,
                    "intent": planted.intent,
                    "flags": list(planted.flags),
                    "heat": planted.heat,
                }
            )
    profiles = world.marketing.profile_of
    customers = [
        {
            "shop_id": c.shop_id,
            "zendesk_user_id": c.helpdesk_id,
            "klaviyo_profile_id": profiles[c.number].id if c.number in profiles else None,
            "heat": c.heat_at(world.at),
            "heat_until": rfc3339(c.heat_until) if c.heat_until and c.heat_at(world.at) else None,
        }
        for c in world.shop.customers.values()
    ]
    return {"messages": messages, "customers": customers}
