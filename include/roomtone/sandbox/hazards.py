"""What a person does with a mailing: planted probabilities, higher when a promotion meets somebody who is upset.

The figures are made up and only their order is meant: they exist so that a pause has something to prevent. Whatever is
counted from them is a simulation and says so.
"""

from roomtone.sandbox.chance import between, draw
from roomtone.sandbox.records import Campaign, Profile

# Probability per promotional e-mail by how upset the customer is (0 calm to 3 furious).
UNSUBSCRIBE = (0.0030, 0.0100, 0.0900, 0.1800)
COMPLAIN = (0.0005, 0.0020, 0.0350, 0.1100)
OPEN = (0.36, 0.34, 0.40, 0.42)
CLICK_AFTER_OPEN = (0.14, 0.08, 0.02, 0.01)
BOUNCE = 0.004

HOUR = 3600.0


def hazard(heat: int) -> tuple[float, float]:
    """(probability of unsubscribing, probability of a spam complaint) for one promotional e-mail."""
    return UNSUBSCRIBE[heat], COMPLAIN[heat]


def reactions(
    seed: int, campaign: Campaign, profile: Profile, heat: int, occasion: str
) -> list[tuple[str, float, float]]:
    """(metric, seconds after the send, seconds until the platform hears of it) for one sent mailing."""
    key = (campaign.id, profile.customer.number, occasion)
    if campaign.channel == "sms":
        return _sms_reactions(seed, campaign, key, heat, profile.customer.is_story)
    if draw(seed, "bounce", *key) < BOUNCE and not profile.customer.is_story:
        return [("Bounced Email", 20.0, between(seed, 0.5, 6, "bounce lag", *key) * HOUR)]
    found = [("Received Email", float(int(between(seed, 2, 40, "received", *key))), 0.0)]
    opened_after = between(seed, 0.05, 1, "opened", *key) ** 3 * 30 * HOUR + 60
    is_promotion = campaign.scope != "transactional"
    if draw(seed, "open", *key) < (OPEN[heat] if is_promotion else 0.7):
        found.append(("Opened Email", float(int(opened_after)), 0.0))
        if draw(seed, "click", *key) < CLICK_AFTER_OPEN[heat]:
            found.append(("Clicked Email", float(int(opened_after)) + 25, 0.0))
    # Nobody of the story leaves for a reason that the story does not tell: calm, or by a mailing that no pause names.
    is_untold = profile.customer.is_story and (heat < 2 or campaign.scope is None)
    if is_promotion and not is_untold:
        unsubscribe, complain = hazard(heat)
        if draw(seed, "complain", *key) < complain:
            lag = float(int(between(seed, 1, 4, "complaint lag", *key) * HOUR))
            found.append(("Marked Email as Spam", float(int(opened_after)) + 40, lag))
        elif draw(seed, "unsubscribe", *key) < unsubscribe:
            found.append(("Unsubscribed from Email Marketing", float(int(opened_after)) + 50, 0.0))
    return found


def _sms_reactions(
    seed: int, campaign: Campaign, key: tuple[object, ...], heat: int, is_story: bool
) -> list[tuple[str, float, float]]:
    found = [("Received SMS", float(int(between(seed, 1, 15, "received", *key))), 0.0)]
    if draw(seed, "click", *key) < 0.05:
        found.append(("Clicked SMS", float(int(between(seed, 60, 7200, "clicked", *key))), 0.0))
    if campaign.scope != "transactional" and not is_story and draw(seed, "unsubscribe", *key) < UNSUBSCRIBE[heat] * 2:
        found.append(
            ("Unsubscribed from SMS Marketing", float(int(between(seed, 30, 3600, "unsubscribed", *key))), 0.0)
        )
    return found
