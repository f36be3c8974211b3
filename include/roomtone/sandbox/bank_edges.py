"""The matters with an edge: what only somebody unhappy would write, mostly without a word of anger. Notation as in `bank_matters.py`."""

# ruff: noqa: E501 - one template a line reads best

EDGES: dict[str, tuple[str, ...]] = {
    "delivery_status": (
        "I [have|'ve] asked [twice|three times] where it is and [got|received] the same link [each|every] time.",
        "(overdue) Your page says 2 to 3 days, and we are at {days}.",
        "[Again|Once more] I find myself chasing [a parcel|one of your parcels].",
        "Every shop [manages|can manage] to tell me the day and [the hour|even the hour], [yours|only yours] [can't|tells me nothing].",
    ),
    "late_delivery": (
        "You [have|'ve] told me [tomorrow|two more days] [three times|every day this week].",
        "[Nobody|No one] thought of telling me, I had to [find out myself|dig it out of the tracking page].",
        "{Relation} opened a card with [a picture of it|nothing in it] instead.",
        "I paid [extra|6.95] for express, and [here we are|there is still no parcel].",
        "I have now bought something in a shop down the road, because waiting [for yours |]led to nothing.",
        "The occasion has [come and gone|passed].",
        "[Your answer was|All I got was] that I should be patient. I have been, [for {days} days|for long enough].",
    ),
    "never_arrived": (
        "So [a|the] driver ticks a box and that is the end of it for you?",
        "You [tell|told] me to ask the carrier, and the carrier tells me to ask you.",
        "I am [asked|expected] to prove that something did [not|NOT] happen.",
        "Three people have looked for it by now, none of them from [your side|your shop].",
    ),
    "order_change": (
        "I [wrote|told you] ten minutes after ordering, and you shipped it [anyway|unchanged].",
        "[Two|Three] mails, one call, and it was still sent as it was.",
        "It is one line in an order, and it takes [three people|you a week] to change it.",
    ),
    "cancel_order": (
        "You confirmed the cancellation [on {weekday}|in writing] and [shipped|sent] it [today|all the same].",
        "The button to cancel does nothing, and the chat sends me [in circles|back to the button].",
        "Getting into this order took a minute, getting out has taken [four|{days}] days.",
    ),
    "address_change": (
        "I gave you the new address [twice|in good time], and it [still |]went to the old one.",
        "Somebody else is [now |]enjoying my parcel, it seems.",
        "How many times must one [send|write] an address before [it sticks|somebody types it in]?",
    ),
    "damaged_item": (
        "It was [wrapped|packed] in [one|a single] sheet of paper.",
        "This was [meant to be|supposed to be] a present, and I can't give it to anybody like this.",
        "It is the second one in a row that [comes|arrives] like this.",
        "[Somebody|Someone] packed it like this and thought it would [do|be fine].",
        "I am [now |]supposed to pack it up again and queue at the post office for that.",
    ),
    "wrong_item": (
        "It is the second wrong parcel [in a row|this month].",
        "How one mixes up the two [is beyond me|I do not know].",
        "Now I [have to|am to] queue at the post office for [your mistake|a mistake of yours].",
        "You ask me for photos to prove it, as if I had [made it up|packed it myself].",
    ),
    "quality": (
        "For {price} euro [it looks|that is] like something from a bargain bin.",
        "The [photo|page] promises one thing, and the box holds another.",
        "I have one from a supermarket that has lasted ten years.",
        "It went [straight|right] into a drawer, I can't look at it.",
        "[Handmade|Made with care], says the label. [By whom?|I wonder.|Not this one.]",
    ),
    "return_exchange": (
        "You want me to pay 9.95 for returning [something|a thing] that you got wrong.",
        "[The|Your] return form [crashed|gave an error] [four|three] times and then told me I was too late.",
        "The label you sent is for [another country|somebody else], and so was the one before.",
    ),
    "refund": (
        "[Four|Three] weeks and [three|two] promises later there is still [no|not a cent of the] refund.",
        "Taking the money took you [two seconds|no time at all], sending it back takes {days} days and counting.",
        "I [was|have been] told [the bank|my bank] is to blame, and the bank [says|showed me that] nothing was ever sent.",
        "I [am running|run] after my own money here.",
    ),
    "product_question": (
        "This is the [second|third] time I ask, and [nobody|no one] has answered.",
        "The page says three different things about it, and your chat a fourth.",
    ),
    "discount_question": (
        "A code that works on nothing is [not much of a present|a funny sort of present].",
        "The [mail|advert] says everything, the small print says [almost nothing|except everything].",
        "So the price goes up the week before and the code brings it back to where it was.",
    ),
    "account": (
        "I have been sent the same link [six|four] times, and it expires before it arrives.",
        "[Half|All] my order history is gone and [the answer|all I hear] is to make a new account.",
        "I have spent [an hour|my evening] [on this|proving that I am me].",
    ),
    "billing": (
        "And now you ask me to wait [ten|14] days for my own money.",
        "[Now|Today] I got a reminder with a fee for [an invoice|a bill] I paid {days} days ago.",
        "I have asked for this three times, and each time I got the same file.",
    ),
    "gift_question": ("I asked [last week|on {weekday}] already, and the day has passed without an answer.",),
    "unsubscribe_request": (
        "I have unsubscribed three times and [still |]get a mail [every other day|each morning].",
        "While my complaint lies unanswered, you [send me|keep sending me] [offers|discount mails]. Does nobody see how that looks?",
        "[Four|Five] mails this week, and not one of them the answer I wait for.",
    ),
}
