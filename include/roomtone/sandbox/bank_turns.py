"""Later turns of a conversation, when the matter is known. Notation as in `bank_moods.py`."""

# ruff: noqa: E501 - one template a line reads best

# Still or again unhappy, no matter what about: (heat, template).
NEGATIVE_TURNS: tuple[tuple[int, str], ...] = (
    (1, "[Hello?|Hi again.|Me again.] [Still nothing.|Nothing has happened.|No change here.]"),
    (
        1,
        "[Any news|Is there any news]? It's been {days} days [now|since my first message] and I [haven't heard anything|was told two].",
    ),
    (1, "That [doesn't|does not] [answer my question|help me], [I'm afraid|unfortunately]."),
    (
        1,
        "(goods) I [already sent|have sent] [you |]the photo[s|] [twice|on {weekday}], please [scroll up|look further up].",
    ),
    (1, "[Thanks|Thank you], but that is the [same answer|same text] as [last time|on {weekday}]."),
    (1, "I'd hoped for [a bit |]more than [a standard text|that|a link to your FAQ]."),
    (1, "(goods) So I [have to|should] [pay|wait] for your mistake? [Hm.|Really?|That can't be right.]"),
    (1, "[Tomorrow, tomorrow.|Again tomorrow.] I [was told|heard] that [on {weekday}|last week] [too|as well]."),
    (
        2,
        "This is the [third|fourth|fifth] time I [explain|am explaining] this. [Please read it.|Does nobody take notes?|I'm tired of it.]",
    ),
    (
        2,
        "I was promised [a call|an answer|a replacement] [yesterday|by {weekday}]. [Nothing.|Nobody called.|Guess what.]",
    ),
    (2, "That's [just |]not [good enough|on], [sorry|I am sorry]. I want [a solution|somebody who can decide]."),
    (
        2,
        "[Great|Wonderful|Super]. [So I wait another week then.|So back to square one.|And who pays for that? Me, I suppose.]",
    ),
    (2, "(lack) I [don't|do not] want [a voucher|another apology], I want [what I ordered|my {product}]."),
    (
        2,
        "(late) You [closed|solved] my ticket and [nothing is solved|the {product} is still not here]. [How does that work?|Please explain.]",
    ),
    (2, "(lack) [And|So] now? [Do I buy one somewhere else?|{Relation} is asking every day.|I can't go on like this.]"),
    (
        2,
        "(damaged) [The replacement|The new one] has the [very |]same [problem|fault]. [I give up.|Do you check nothing?|Unbelievable.]",
    ),
    (
        3,
        "(money) [Enough.|That's it.] [Send me my money|I want a refund] [today|now] [or my bank will|or I call my bank].",
    ),
    (3, "Is this a joke? [Honestly.|I mean it.|Is anybody there?]"),
    (3, "[Unbelievable|Incredible|Ridiculous]. [Get me|I want to speak to] [a manager|your boss|someone in charge]."),
)

NEUTRAL_TURNS: tuple[str, ...] = (
    "(goods) [Here is|Here's|Attached is] [the photo|a photo|the picture] you asked for.",
    "[The order number is|It's|It is order] {order}.",
    "(goods) [Yes|Yes, that's right], [the address is correct|that is the right address|please go ahead].",
    "(returns) [No|No, that's fine], [a refund is not necessary|an exchange is fine|the blue one is fine too].",
    "[Okay|OK|All right], [I'll wait|I will wait and see|let me check that].",
    "[How|And how] long [does that|will that] [usually |]take?",
    "(goods) [Could|Can] you [also |]send [me |]the [label|invoice|tracking number] [please|]?",
    "[Any|Is there any] [update|news] [on this|here]?",
    "(returns) I [prefer|would prefer] [an exchange|the refund|the {colour} one].",
    "(returns) [Does|Will] the [label|link] [work|be valid] [next week|until {weekday}] too?",
    "(returns) I sent it [this morning|back on {weekday}], [just so you know|for your information].",
    "[Which|What] [e-mail address|account] [is it|did you use]? I have two.",
    "(damaged) [Is|Was] {agent} [in today|the person I wrote with]? [She|Somebody] [asked me for|wanted] the number on the box, it [is|reads] 4471.",
    "(late) [I checked|I have looked]: [it isn't in the spam folder|the neighbour doesn't have it either].",
    "[One more question|Another question]: [can I pick it up myself|do you have it in {colour}|is the gift wrap free]?",
)

# What fits behind any calm later turn.
LATER_ASKS = (
    "[Is that enough|Does that help]?",
    "[What|And what] happens next?",
    "[Do you need|Is there] anything else [from me|]?",
    "[When|By when] [will|can] I [hear|expect to hear] from you?",
    "Please let me know.",
)
