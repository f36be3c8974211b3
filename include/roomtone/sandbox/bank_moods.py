"""How customers feel and say so: by mood and manner. Notation as in `bank_matters.py`; a template that begins with `(tag)` suits only
the intents of that tag.

A manner of the negative mood is chosen by heat: polite and tired people use no word of anger, and some of the angriest are sarcastic.
"""

# ruff: noqa: E501 - one template a line reads best

# No word of anger in these. Heat 1 and 2.
POLITE = (
    "I [do |]understand [you are busy|that things can go wrong], but [I had hoped for better|this is not what I paid for|I expected more than this].",
    "I would be [very |]grateful if somebody could [finally |]look at this.",
    "[I have|I've] [written|been in touch] [twice|three times|four times] [now|already] and [am still waiting for|have yet to receive] [a reply|an answer].",
    "I [really |]would have expected to hear from [you|somebody] by now.",
    "May I ask whether anybody is [looking at|working on] this [at all|]?",
    "I must say I [had|expected] a rather different [picture of|experience from] your shop.",
    "It [would have been|would be] [nice|kind] to be told [before|without having to ask].",
    "(goods) I don't think this is too much to ask for {price} euro.",
    "(late) I [took|have taken] [an afternoon|a day] off for this delivery and [spent|have spent] it at the window.",
    "I have [explained|described] all of this [before|to two of your colleagues], and here I am again.",
    "(goods) [Sadly|Regretfully] this is the second time [this year|in a row], and I am not sure there will be a third.",
    "(goods) I will let you imagine [{relation}'s face|how that felt] [when the box was opened|on the day].",
    "I have stayed patient [so far|until now], but it is getting [hard|difficult].",
    "This leaves me [rather |]at a loss.",
    "(lack) I was [so |]looking forward to it, and now it [just |]makes me sad.",
    "I [can't say I am happy|am not happy] with how this [was|has been] handled.",
    "That is [not|hardly] what I would call [good service|helpful|taking care of it].",
    "[Each|Every] time I [ask|write] I am [told|promised] something [different|else].",
    "I'd [rather|prefer to] have a straight answer [than another apology|, even a no].",
)

# Said outright. Heat 1.
MILD = (
    "I'm [a bit|a little|somewhat|slightly] [disappointed|let down|fed up], to be honest.",
    "(lack) That's [a shame|a pity|not great], I was looking forward to it.",
    "[Not|Not really] what I [expected|hoped for|was hoping for] [from you|].",
    "I find that [a bit|rather] [poor|careless], to be honest.",
    "(goods) It's [a little|a bit] annoying, [since|because] I [chose|picked] you for your [reviews|care].",
    "(goods) For {price} euro I [expected|would expect] [better|more].",
    "(goods) It [does|really does] take the joy out of it.",
)

# Said outright. Heat 2.
PLAIN = (
    "I am [really|very|deeply] [unhappy|disappointed|frustrated] [with this|about this|by now].",
    "This is [really|very|so] [frustrating|upsetting|disappointing].",
    "[Nobody|No one] [answers|replies|seems to care].",
    "(late) I've had enough of [waiting|asking|these excuses].",
    "This is not [acceptable|good enough|how you treat people].",
    "I [feel|have the feeling] [I'm being|that I am being] [fobbed off|ignored|passed from one to the next].",
    "What a [let-down|waste of time|poor way to treat a customer].",
    "I've lost [all |]trust in your [delivery dates|promises|shop].",
    "(money) You [kept|have kept] my money and I have nothing [to show for it|].",
    "(goods) I regret [ordering|buying] [from you|here].",
    "(goods) It has [spoiled|ruined] [{relation}'s day|the whole surprise|the party].",
    "I was told [it would be sorted|somebody would call] and [nothing happened|nobody did].",
)

# Heat 3.
FURIOUS = (
    "This is [absolutely|completely|utterly] [unacceptable|ridiculous|outrageous|shameful].",
    "I am [furious|beyond angry|so angry].",
    "[Worst|The worst] [service|experience|shop] I have [ever |]had [online|with any shop|].",
    "Do [you people|any of you] [even |]read what [I write|customers write]?",
    "(money) I want my money back [now|today|at once], [no vouchers|no excuses|all of it].",
    "[Never|I will never order] [again|from you again].",
    "You should be ashamed [of yourselves|].",
    "[Lies|One lie after the other], [nothing else|that is all I get].",
)

# Heat 3: something will follow.
THREATS = (
    "(money) If I [don't|do not] hear from you by {weekday}, I will [dispute the payment with my bank|ask my bank for a chargeback].",
    "My next [step|letter] goes [through|to] [a solicitor|consumer protection|the ombudsman].",
    "I'll [be leaving|leave] [an honest review|my review] [everywhere I can|with photos] [tonight|], [so others are warned|so that nobody else falls for this].",
    "I am [this close to reporting|going to report] you [to trading standards|as a scam].",
)

# Sarcasm: praise on the surface. Heat 2 and 3.
SARCASM = (
    "[Great job|Well done|Bravo], [really|truly], [first class|ten out of ten|wonderful].",
    "(overdue) {days} days for a parcel from {city}. [Did somebody walk?|Is it coming by snail?|I hope the horse is all right.]",
    "(damaged) Thank you for [the lovely puzzle|this creative reading of the word new].",
    "[Fantastic|Brilliant|Amazing]. [Another|One more] automatic reply. [Just what I needed.|That helps a lot.|I feel so valued.]",
    "(late) I [love|adore] how [your tracking page keeps its sense of mystery|nobody there seems to own a telephone].",
    "(goods) [Oh good|How nice], [another voucher|a 10 % code]. That will [surely |]go well with [the parcel I don't have|nothing at all].",
    "(late) [Keep it up|Keep up the good work], [you're almost there|only {days} more days to your record].",
    "[What a treat|What a pleasure] to [spend my lunch break|spend my evening] [in your chat queue|writing to you once more].",
    "(address) Nice touch, sending it to a house I left two years ago.",
    "(damaged) [Nice idea|Clever], packing it in a single sheet of paper.",
    "(late) I'm sure {relation} will enjoy [the empty box|the photo of it] [on the day|].",
    "(late) Are your {weekday}s longer than mine? I was told {weekday}, [I just didn't ask which year|nobody said which month].",
)

# Calm though something went wrong. Neutral.
SHRUGS = (
    "[No|Not a] [big deal|problem|drama], [I just wanted to let you know|just so you know].",
    "[These things happen|It happens|Can happen].",
    "[No hurry|No rush|It isn't urgent] [at all|on my side|].",
    "[Otherwise|Apart from that] [all is well|everything is fine].",
    "[I'm|I am] sure it is [something small|easy to sort out|just a mix-up].",
    "I [may|might] have [overlooked something|missed a mail from you|got it wrong myself].",
    "[Thanks|Thank you] for [looking into it|checking|your help].",
    "",
    "",
    "",
)

# Words of anger without anger. Neutral.
KEYWORDS_CALM = (
    "(buying) I'd be angry at myself if I [ordered the wrong size|picked the wrong one] - which one [fits|would you take]?",
    "(buying) My old one was [terrible|awful|the worst thing in the kitchen], so I am [looking for a better one|replacing it].",
    "(late) I'd hate to [miss it|bother you], [but could you check|so just let me know].",
    "(returns) [Is there|Do you take] a [complaint|returns] form for the carrier, or do I just [write|reply] here?",
    "(late) The [bad|poor] weather [has probably held it up|explains it, I guess].",
    "[Sorry|I'm sorry] for the [stupid|silly] question.",
    "(buying) My {relation_bare} broke the last one, [our own fault|which is not your fault at all], hence this order.",
    "I am [horribly|terribly] [slow with|bad at] these [forms|things], so I write instead.",
    "(buying) Does the guarantee also cover [damage|scratches] if I drop it? [Asking for a clumsy friend.|I am clumsy.]",
    "There's no problem with the order, [nothing wrong|nothing broken], I just [have a question|wanted to ask].",
    "I [never|have never] had a problem with you, so [no worries|I'm not concerned].",
    "(buying) What would a refund look like if it is the wrong shade? I haven't ordered yet.",
    "(late) Late is fine, [by the way|honestly], I'm away until {weekday} anyway.",
)

# Thanks and praise.
JOY = (
    "(goods) It is [even |][lovelier|prettier|nicer|better] than [in the picture|I thought|I had hoped].",
    "(goods) I [love|adore|am so happy with] it[!|, thank you!|.]",
    "(goods) {Relation} was [over the moon|so happy|delighted|in tears, the good kind].",
    "(goods) [What|Such] [a beautiful|a lovely|a wonderful] [piece|present|thing].",
    "(goods) The packaging alone [was a joy|made my day].",
    "[Thank you|Thanks] so much [for the care you put into it|to everybody in the workshop|for the quick delivery].",
    "[You have|You've] [won|got] a [customer|fan] [for life|in me].",
    "[Wonderful|Great|Excellent] service[!|, quick and kind.|, and so friendly.]",
    "(goods) I [will|'ll] be back [for sure|before Christmas|].",
)

# Praise that a word list reads as blame.
JOY_TRICKY = (
    "[Not bad at all!|Not bad, not bad at all.|Can't complain.|No complaints whatsoever.|Nothing to complain about.]",
    "(goods) I was [worried|afraid] it would [arrive broken|be damaged|come too late], and it is [perfect|flawless].",
    "(goods) [It is|It's] [insanely|terribly|awfully|wickedly] [good|pretty|nice].",
    "(goods) I hate to say it, but I [need|want] [a second one|three more].",
    "(goods) [My|The] only complaint: I [should have|could have] ordered two.",
    "(goods) The old one was awful, this one is [a dream|a joy to use].",
)

# Praise for how something was put right, read as blame by a word list.
JOY_SOLVED = (
    "I was angry [with the carrier|at first], but [your colleague|{agent}] [sorted it in minutes|turned it around completely], [thank you|what a star].",
    "You [couldn't|could not] have [handled|solved] [that|the problem] [better|any better].",
    "[Never|I've never] had [a return|a refund|a complaint] [go so smoothly|handled so well].",
)

# Praise after something was put right.
RELIEF = (
    "(goods) [It|The parcel] [has arrived|is here|came this morning] [now|], thank you [so much|for sorting it out|for your help]!",
    "[Perfect|Great|Brilliant|Super], [thank you|thanks] [so much|a lot|for the quick help|].",
    "That was [quick|fast|easy] - [thank you|thanks], [{agent}|I appreciate it].",
    "[All|Everything is] [sorted|solved|good] [now|], [thank you for your patience with me|thanks for your help|much appreciated].",
    "(goods) [The new one|The replacement] [arrived|came] and it is [perfect|lovely].",
    "[Wonderful|Lovely], that [is|was] [more than I expected|very kind of you].",
    "(money) [The refund|The money] is [here|on my account], thank you for [being so quick|taking care of it].",
    "You've been [so |really |][helpful|kind], [thank you|thanks].",
)

# A deadline: what makes a message urgent.
DEADLINES = (
    "I need it [by|before] {weekday} [at the latest|].",
    "[It's|It is] for {relation}'s birthday [tomorrow|on {weekday}].",
    "We [leave|fly] on {weekday} [morning|], so I need [to know|an answer] before [then|that].",
    "[Please|Could you] [answer|let me know] [today|this morning|as soon as you can], [it is urgent|time is short|tomorrow is too late].",
    "The [party|wedding|dinner] is [tomorrow|on {weekday}|the day after tomorrow].",
    "[URGENT|Urgent]: [tomorrow is too late|I need an answer today].",
)

# Nothing is pressing.
NO_HURRY = (
    "No rush.",
    "Whenever you have a moment.",
    "There is no hurry.",
    "Take your time.",
    "Any time this week is fine.",
)

# Somebody who likes the brand and asks something.
FANS = (
    "[I love what you make|Your things are so beautiful|My last order from you made me so happy], [thank you!|truly.|keep going!]",
    "[Thank you|Thanks] for the [lovely|beautiful] [newsletter|little card in my last parcel|window in the old town].",
    "[Everybody|Everyone] [who visits|at dinner] asks [where our mugs are from|about your plates], [I'm so proud of them|we love them].",
)
