import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomtone.score.text import CLEAN_CHARACTERS, clean_body


@pytest.mark.parametrize(
    ("body", "own"),
    [
        (
            "It is late.\n\nOn Mon, 2 Mar 2026 at 10:11, Support <help@shop.example> wrote:\n> We are sorry.\n> Bye",
            "It is late.",
        ),
        (
            "Still late.\n\nOn Monday, 2 March 2026 at 10:11 the support team\n<help@shop.example> wrote:\n> Hello",
            "Still late.",
        ),
        ("On Mon, 2 Mar 2026, Sam wrote:\n> Is it there?\nNo, it is not.", "No, it is not."),
        ("> old\nmy answer\n> older", "my answer"),
        ("New text\n-----Original Message-----\nFrom: a\nSent: b\nangry old text", "New text"),
        ("New text\n\nFrom: Help <h@shop.example>\nSent: Monday\nTo: me\nSubject: Re: order\n\nold text", "New text"),
        ("Answer\n##- Please type your reply above this line -##\nold", "Answer"),
        ("Where is it?\n\nKind regards,\nMaya Okafor\nSenior Buyer, Example Ltd\n+44 1632 960001", "Where is it?"),
        ("Where is it?\n-- \nMaya\nhttps://example.org", "Where is it?"),
        ("Where is it?\nSent from my iPhone", "Where is it?"),
        ("Thanks!\nTom", "Thanks!\nTom"),
        ("Thanks for the parcel, it is lovely.", "Thanks for the parcel, it is lovely."),
        ("<p>Dear team,</p><p>it is <b>broken</b>.<br>Tom</p>", "Dear team,\nit is broken.\nTom"),
        ("<style>p{color:red}</style><div>Hi</div><blockquote>old <b>angry</b></blockquote>", "Hi"),
        ('<div>Mine</div><div class="gmail_quote">On Monday … wrote: old</div>', "Mine"),
        ("3 < 5 &amp; 7 > 6", "3 < 5 & 7 > 6"),
        ("te\u200brri\u00adble \u202eserv\ufeffice", "terrible service"),
        ("\uff34\uff45\uff52\uff52\uff49\uff42\uff4c\uff45", "Terrible"),
        ("", ""),
        ("<p></p><br><hr>", ""),
        ("> only\n> quoted", ""),
        ("\x00\x01\x02", ""),
    ],
)
def test_only_the_customers_own_words_remain(body: str, own: str) -> None:
    assert clean_body(body) == own


@given(st.text(max_size=400))
def test_cleaning_gives_capped_visible_text_and_changes_it_no_more(body: str) -> None:
    own = clean_body(body)
    assert len(own) <= CLEAN_CHARACTERS
    assert own == own.strip()
    assert not any(unicodedata.category(letter) == "Cc" and letter != "\n" for letter in own)


@pytest.mark.parametrize(
    "body",
    [
        "<" * 10_000_000,
        "<!--" * 2_500_000,
        "&" * 10_000_000,
        ">\n" * 5_000_000,
        "On 1 at " * 1_250_000,
        "a@" * 5_000_000,
        "\n" * 10_000_000,
    ],
    ids=["tags", "comments", "entities", "quotes", "headers", "addresses", "lines"],
)
def test_ten_megabytes_of_anything_take_a_moment(body: str) -> None:
    begun = time.process_time()
    assert len(clean_body(body)) <= CLEAN_CHARACTERS
    assert time.process_time() - begun < 1.5
