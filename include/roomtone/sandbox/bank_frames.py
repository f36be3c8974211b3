"""What stands around the matter: greetings, signatures, quoted replies, subjects. Notation as in `bank_matters.py`."""

# ruff: noqa: E501 - one template a line reads best

GREETINGS = (
    "Hello,",
    "Hi,",
    "Hi there,",
    "Dear team,",
    "Good morning,",
    "Good evening,",
    "Dear Roomtone team,",
    "Hello everyone,",
    "Dear Sir or Madam,",
    "Hi {agent},",
    "",
)
CLOSINGS = (
    "Best regards",
    "Kind regards",
    "Best",
    "Thanks",
    "Thank you",
    "Regards",
    "Many thanks",
    "Yours sincerely",
    "Cheers",
    "Warm wishes",
    "Awaiting your reply",
)
CLOSINGS_COOL = ("Regards", "Kind regards", "Sincerely", "Yours sincerely", "Awaiting your reply", "")
DEVICE_LINES = (
    "Sent from my iPhone",
    "Sent from my Galaxy",
    "Sent from Outlook for Android",
    "Get Outlook for iOS",
    "Von meinem iPhone gesendet",
)
SIGNATURES = (
    "{name} {last}",
    "{name}",
    "{name} {last}\n{phone}",
    "--\n{name} {last}\n{city}",
    "-- \n{name} {last} | {job}\n{phone}\nPlease consider the environment before printing this e-mail.",
    "{initial}.",
)
JOBS = ("Office manager", "Architect", "Primary school teacher", "Bookkeeper", "Physiotherapist", "Events & catering")

QUOTE_HEADS = (
    "On {weekday_short}, {day} {month} at {clock}, Roomtone Support <help@roomtone-and-co.example> wrote:",
    "{weekday_short} {day}.{month_number}. {clock} Roomtone Support wrote:",
    "-----Original Message-----\nFrom: Roomtone Support\nSent: {weekday} {clock}\nSubject: Re: your message",
    "________________________________\nFrom: Roomtone Support <help@roomtone-and-co.example>\nTo: {name} {last}",
)
# Words of our own side: full of apology and praise, so that whoever scores the quotation goes wrong.
QUOTED = (
    "Dear {name},\nWe are terribly sorry for this awful experience. Our carrier is having a horrible week.\nKind regards, {agent}",
    "Hi {name},\nthank you so much for your lovely message! We are happy to help.\nWarmly, {agent}",
    "Hello {name},\nwe have received your message and will answer within two working days.\nThe Roomtone team",
    "Dear {name},\ngreat news: your order is on its way! Enjoy 10 % off your next order with HELLO10.\nRoomtone & Co.",
    "Hi {name},\nI am sorry that you were disappointed. Could you send us a photo of the damage?\nBest, {agent}",
)

SUBJECTS: dict[str, tuple[str, ...]] = {
    "delivery_status": (
        "Where is my order?",
        "Order {order}",
        "Delivery of the {product}",
        "Question about my delivery",
    ),
    "late_delivery": ("Order {order} not here", "Delivery date", "{product}", "Parcel {order}", "Still waiting"),
    "never_arrived": ("Marked as delivered", "Parcel missing", "Order {order}"),
    "order_change": ("Change to my order", "Order {order}", "Small change"),
    "cancel_order": ("Cancellation", "Cancel order {order}", "Cancel {product}"),
    "address_change": ("New address", "Address for order {order}", "Delivery address"),
    "damaged_item": ("{product}", "Order {order}", "Arrived today", "Broken {product}"),
    "wrong_item": ("Wrong item", "Order {order}", "Mix-up?", "{product}"),
    "quality": ("{product}", "About the {product}", "Feedback"),
    "return_exchange": ("Return", "Exchange", "Return of {product}", "Order {order}"),
    "refund": ("Refund", "Refund for {order}", "My refund", "Return received?"),
    "praise": ("Thank you", "{product}", "Feedback", "Lovely"),
    "product_question": ("Question", "{product}", "Question about the {product}", "Before I order"),
    "discount_question": ("Code", "Newsletter code", "Voucher", "Question"),
    "account": ("Login", "My account", "Password"),
    "billing": ("Invoice", "Payment", "Invoice for {order}", "Charged twice?"),
    "gift_question": ("Gift", "Gift wrap", "A present", "Question"),
    "unsubscribe_request": ("Newsletter", "E-mails", "Unsubscribe"),
}

CHAT_OPENERS = ("hi", "hello", "hey", "hi there", "good morning", "", "", "", "")
# What people add in longer messages: to anything, and to a question or a problem.
FILLERS = (
    "We have been customers since your first little shop in the Haarlemmerstraat.",
    "I found you through a friend who swears by your candles.",
    "I am writing from my work address, please answer to this one.",
    "My colleague has the same [taste|kitchen] and told me about you.",
    "I usually buy [things like this|presents] in town, but with the little one I hardly get there.",
)
FILLERS_PROBLEM = (
    *FILLERS,
    "(goods) For context: we are renovating, so parcels go to the neighbour.",
    "(goods) I ordered on my phone while on the train, so there may be a slip in it.",
    "(goods) I've attached the confirmation and a picture of the box.",
    "I tried the chat first but it was outside your hours.",
    "I called the number on the page on {weekday} and left a message.",
    "I looked through your questions and answers but found nothing about it.",
    "(late) The neighbour at number 12 usually takes parcels for us, she has nothing.",
    "(late) The shop downstairs takes parcels too, I asked there as well.",
    "(goods) I paid with the card ending in 4471, if that helps.",
    "(goods) My colleague ordered the same one and hers came last week.",
    "(returns) I kept the box and all of the wrapping.",
)

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS = ("Jan", "Feb", "Mar")
COLOURS = ("blue", "green", "grey", "white", "terracotta", "mustard", "navy", "sage")
CITIES = ("Utrecht", "Ghent", "Leipzig", "Porto", "Leeds", "Lyon", "Cork", "Bremen")
RELATIONS = (
    "sister",
    "mother",
    "father",
    "best friend",
    "grandmother",
    "colleague",
    "partner",
    "niece",
    "son",
    "neighbour",
)
AGENT_NAMES = ("Priya", "Jonas", "Lucía", "Sam", "Aoife")
