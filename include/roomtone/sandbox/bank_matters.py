"""What customers write about: statements of fact and the requests that go with them, by intent.

Notation: `[a|b|]` picks one of the alternatives, also nested; `{product}` and its like are filled in from the situation. A template
with `{order}` is used only where an order is known; one that begins with `(tag)` suits only the intents of that tag. Words of blame
stand in the banks of moods, not here.
"""

# ruff: noqa: E501 - one template a line reads best

from dataclasses import dataclass


@dataclass(frozen=True)
class Matter:
    """Facts, each of which makes sense with each of the requests. Both are calm: they can carry any mood."""

    facts: tuple[str, ...]
    asks: tuple[str, ...]


MATTERS: dict[str, tuple[Matter, ...]] = {
    "delivery_status": (
        Matter(
            (
                "I ordered {a_product} [{days} days ago|on {weekday}|last week] and [would like to know|wanted to ask] where it is.",
                "My order {order} [shows as shipped|is marked as on its way].",
                "The tracking page [says the parcel is in transit|shows the parcel at the depot in {city}].",
                "I [placed an order for|bought] {a_product} {days} days ago.",
                "I'm [expecting|waiting for] a parcel from you with {a_product} in it.",
                "[This is about order {order}|Order no. {order}|My order number is {order}], the {product}.",
            ),
            (
                "[Could|Can] you tell me [where it is|when it will arrive|when to expect it]?",
                "[When|On which day] will it [be here|get here|be delivered]?",
                "Do you [know|have any idea] [when it will come|which carrier has it]?",
                "Is there a tracking number [for it|I could use]?",
                "Will it be here [by|before] {weekday}?",
                "Where is my order?",
                "Just checking [if it has been sent|that it is on its way].",
            ),
        ),
    ),
    "late_delivery": (
        Matter(
            (
                "My {product} [should have been here|was due|was promised for] [last {weekday}|{days} days ago].",
                "The tracking [has not moved|hasn't changed|has shown the same line] [for {days} days|since {weekday}].",
                "Order {order} was [supposed|meant] to arrive [on {weekday}|{days} days ago] and it [hasn't|has not] come.",
                "It is now {days} days since I ordered [the|my] {product}.",
                "The parcel was last seen in {city} [on {weekday}|{days} days ago].",
                "The delivery date for {order} has [moved|been pushed back] [twice|three times|again].",
            ),
            (
                "[Could|Can] you [find out|check] where it is?",
                "When will it [actually |]arrive?",
                "[Could|Would] you ask the carrier, please?",
                "[Can|Could] you send [another|a new] one?",
                "Is it lost?",
                "What happens now?",
            ),
        ),
    ),
    "never_arrived": (
        Matter(
            (
                "The carrier says the {product} was delivered on {weekday}, but there is [no parcel here|nothing here].",
                "Order {order} is marked as delivered and [I have not received it|nobody in the house has seen it].",
                "The proof of delivery for my {product} shows a door that is not [mine|ours].",
                "It has been {days} days and the {product} never reached me.",
            ),
            (
                "[Could|Can] you [open a search with the carrier|ask the carrier where it went]?",
                "[Can|Could] you send a new one [or refund me|, please]?",
                "What do I have to do now?",
            ),
        ),
    ),
    "order_change": (
        Matter(
            (
                "I [ordered|bought] {a_product} [this morning|yesterday|an hour ago] and [chose the wrong colour|picked {colour} by mistake].",
                "In order {order} I would like to swap the {product} for {an_other}.",
                "I'd like to add {an_other} to [my order|order {order}].",
            ),
            (
                "Is that [still possible|possible before it ships]?",
                "[Could|Can] you change that [for me|, please]?",
                "Do I pay the difference, or do I have to order again?",
            ),
        ),
        Matter(
            (
                "I forgot to [tick the gift wrap box|enter my gift card] for [order {order}|the {product}].",
                "I put two of the {product} in my basket and only need one.",
            ),
            (
                "Is that [still possible|too late to change]?",
                "[Could|Can] you [change|correct] that [for me|, please]?",
            ),
        ),
    ),
    "cancel_order": (
        Matter(
            (
                "I would like to cancel [order {order}|my order for {a_product}|the {product} I ordered {days} days ago].",
                "Please cancel the {product} from [my order|order {order}].",
                "I ordered the same {product} twice by mistake, so please cancel one.",
                "My plans have changed and I no longer need the {product}, so I'd like to cancel it.",
            ),
            (
                "[Could|Can] you [confirm it|let me know if that worked], please?",
                "[Is it|Am I] still in time?",
                "Will the money go back to my card?",
            ),
        ),
    ),
    "address_change": (
        Matter(
            (
                "I [moved|have moved] house [last week|on {weekday}] and order {order} still has my old address.",
                "The parcel with the {product} should go to my [office|neighbour|new flat] instead.",
                "I left out the [flat number|house number] when I ordered the {product}.",
                "I will be away [from {weekday}|next week], so the {product} should go to [{relation}|a pick-up point].",
            ),
            (
                "[Could|Can] you change it [before it leaves|, please]?",
                "Is that still possible?",
                "Can you do that, or should I tell the carrier myself?",
            ),
        ),
    ),
    "damaged_item": (
        Matter(
            (
                "The {product} {damage}.",
                "[I've just|I have just] opened the [box|parcel] and the {product} {damage}.",
                "My {product} from order {order} {damage}.",
                "[The parcel came today|Today the parcel came] and the {product} {damage}.",
                "The box looked fine from outside, but the {product} {damage}.",
            ),
            (
                "[Could|Can] you send [a new one|a replacement], please?",
                "Do you need [a photo|photos]?",
                "What is the [best|easiest] way to [exchange it|get a new one]?",
                "Do I have to send it back first?",
                "Could I [have|get] my money back [instead|]?",
            ),
        ),
    ),
    "wrong_item": (
        Matter(
            (
                "I [ordered|asked for] {a_product} and [received|got|was sent] {an_other}.",
                "Order {order} came with {an_other} instead of the {product}.",
                "The {product} [arrived|came] in {colour}, [I ordered|the order says] {other_colour}.",
                "There is {an_other} in my parcel that [I didn't order|is not mine], and the {product} is missing.",
            ),
            (
                "How [can|do] we [sort this out|put this right]?",
                "[Could|Can] you send the right one?",
                "Should I send the other one back?",
                "Who pays for sending it back?",
            ),
        ),
        Matter(
            ("I ordered two and there was [only |]one {product} in the box.",),
            ("Is the other one [coming separately|in a second parcel]?", "[Could|Can] you send the other one, please?"),
        ),
    ),
    "quality": (
        Matter(
            (
                "The {product} {fault}.",
                "After [{days} days|two weeks|a month] the {product} {fault}.",
                "I have [used|had] the {product} for {days} days and it {fault}.",
            ),
            (
                "Is that [normal|how it should be]?",
                "What do you suggest?",
                "Is there [anything I can do about it|a guarantee on it]?",
                "[Could|Can] I [exchange|return] it?",
            ),
        ),
        Matter(
            (
                "The colour of the {product} is [a bit|a little|somewhat] [lighter|darker|duller] than in the photo.",
                "The {product} is [smaller|larger|lighter] than [I expected|the picture suggests|the page says].",
            ),
            (
                "Is that [normal|how it should be]?",
                "[Could|Can] I [exchange|return] it?",
                "Is there a [different one|different size or colour] in the range?",
            ),
        ),
    ),
    "return_exchange": (
        Matter(
            (
                "I would like to [return|send back] the {product} [from order {order}|I bought {days} days ago].",
                "The {product} [doesn't|does not] [suit our kitchen|match the rest|fit where I wanted it], so I'd like to return it.",
                "I got the same {product} as a present twice, so I'd like to return one.",
            ),
            (
                "How does that work?",
                "Could you send me a [return label|label], please?",
                "How [long|many days] do I have for that?",
                "Do I [have to|need to] pay for the return?",
                "Is [a shop near me|a drop-off point] possible too?",
            ),
        ),
        Matter(
            (
                "I'd like to [swap|exchange] the {product} for [one in {colour}|{an_other}].",
                "[Could|Can] I [swap|exchange] the {product} for [one in {colour}|{an_other}]?",
            ),
            ("How does that work?", "Do I pay the difference?", "Do you send the new one right away?"),
        ),
        Matter(
            ("I sent the {product} back on {weekday}.", "My return with the {product} left [here |]on {weekday}."),
            ("[Did|Has] it [arrive|arrived]?", "How long does [the refund|it] take?", "Do I get a confirmation?"),
        ),
    ),
    "refund": (
        Matter(
            (
                "I returned the {product} {days} days ago and the [money|refund] is not on my account [yet|so far].",
                "You [confirmed|told me about] a refund for [order {order}|the {product}] {days} days ago.",
                "The return [reached|arrived at] your warehouse on {weekday} according to the carrier.",
            ),
            (
                "[Could|Can] you check where [it|the money] is, please?",
                "When [can I expect|will I see] [it|the money] [on my account|]?",
                "Does it go back to my card or to [a voucher|my account with you]?",
                "Which date did you send it?",
            ),
        ),
        Matter(
            (
                "I was refunded for the {product} but not for the shipping.",
                "The refund I got for [order {order}|the {product}] is 5 euro short.",
            ),
            ("[Could|Can] you check that, please?", "Is that [right|as it should be]?", "Is the rest still to come?"),
        ),
    ),
    "praise": (
        Matter(
            (
                "The {product} [arrived|came] [today|yesterday|this morning].",
                "I bought {a_product} for {relation}.",
                "This was my [first|second|third] order with you, {a_product}.",
                "Just a short note about the {product}.",
            ),
            ("",),
        ),
    ),
    "product_question": (
        Matter(
            (
                "I [am interested in|like the look of|have my eye on] the {product}.",
                "I'm thinking of buying {a_product} for {relation}.",
                "I have a question about the {product}.",
                "I saw the {product} [on your page|in your newsletter|at a friend's house].",
                "",
            ),
            (
                "{question}",
                "{question} [And is it in stock?|And how soon could you send it?|]",
                "{question} I could not find it on the page.",
            ),
        ),
    ),
    "discount_question": (
        Matter(
            ("I have a [code|voucher] from your newsletter.", "I wanted to buy {a_product} with my code."),
            (
                "Can I still use it?",
                "Is it for [everything|sale items too]?",
                "[Could|Can] I combine it with [my gift card|free shipping]?",
                "Until when [is it|does it stay] valid?",
            ),
        ),
        Matter(
            ("The code from your last mail [isn't accepted|does not work] at the checkout.",),
            (
                "[Has|Did] it [expired|expire already]?",
                "[Could|Can] you send me another one?",
                "What am I doing wrong?",
            ),
        ),
        Matter(
            ("I saw that the {product} was cheaper [last week|on {weekday}].",),
            ("Will it be on offer again?", "[Could|Can] I still have it at that price?"),
        ),
    ),
    "account": (
        Matter(
            (
                "I [can't|cannot] log in [any more|since {weekday}].",
                "I [don't|do not] get the mail for resetting my password.",
                "My order {order} does not show up in my account.",
            ),
            (
                "[Could|Can] you [help|have a look], please?",
                "What do you need from me?",
                "Which e-mail address do you have on file?",
            ),
        ),
        Matter(
            (
                "I'd like to change the e-mail address of my account.",
                "I have two accounts with you and would like to [merge them|keep only one].",
            ),
            ("How do I do that?", "[Could|Can] you do that for me?", "What do you need from me?"),
        ),
    ),
    "billing": (
        Matter(
            (
                "I was charged twice for [order {order}|the {product}].",
                "I paid by bank transfer on {weekday} and the order still says unpaid.",
            ),
            (
                "[Could|Can] you [check|look into] this, please?",
                "Does that sort itself out?",
                "Do you need a [receipt|copy of the statement]?",
            ),
        ),
        Matter(
            (
                "The invoice for [order {order}|the {product}] [has the wrong name on it|is missing].",
                "I need an invoice with VAT for [order {order}|the {product}].",
            ),
            ("Could you send me a [corrected |]copy?", "Where can I [find|download] it?"),
        ),
        Matter(
            ("The amount on my card is [4.95|10|12.50] euro more than in the confirmation.",),
            ("What is the difference for?", "[Could|Can] you check that, please?"),
        ),
    ),
    "gift_question": (
        Matter(
            (
                "I'd like to send {a_product} to {relation} as a [birthday|wedding|housewarming|thank-you] present.",
                "The {product} is a present for {relation}.",
                "I want to order {a_product} as a surprise.",
            ),
            (
                "Do you gift-wrap [it|things]?",
                "Can I add a [card|short note|handwritten card]?",
                "Is it possible to leave the price out of the parcel?",
                "Can you send it straight to another address on a certain day?",
            ),
        ),
        Matter(
            ("I am looking for a gift for {relation}, [around 40 euro|something small|something for the kitchen].",),
            ("What would you [recommend|suggest]?", "Would the {product} be a good choice?"),
        ),
    ),
    "unsubscribe_request": (
        Matter(
            (
                "I'd like to get fewer e-mails from you.",
                "Please take me off the newsletter.",
                "I get your newsletter at two addresses and need it only once.",
                "I only want mails about my orders, not the offers.",
            ),
            (
                "How do I do that?",
                "[Could|Can] you [do that for me|take care of it]?",
                "Thanks [in advance|for your help].",
                "",
            ),
        ),
    ),
}
