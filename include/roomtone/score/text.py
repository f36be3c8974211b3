"""What the customer wrote, without what the mail program added: quotes, signatures, markup, invisible characters.

Everything here runs on hostile input: every step is linear in the length of a text, and both ends are capped.
"""

import html
import re
import unicodedata

import numpy as np
import numpy.typing as npt

RAW_CHARACTERS = 200_000
"""A raw body is cut here before anything looks at it."""

CLEAN_CHARACTERS = 6_000
"""A cleaned text is cut here: a complaint is told by then, and one message cannot stall a batch."""

_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_MARKUP = re.compile(
    r"<(?:/?(?:html|body|head|style|script|div|p|br|hr|span|font|b|i|u|em|strong|a|img|table|tbody|tr|td|th|ul|ol|li"
    r"|h[1-6]|blockquote|pre|center|section|title|meta|noscript)\b|!--|!doctype)",
    re.IGNORECASE,
)
_LAYOUT = re.compile(r"<(?:html|body|div|p|br|table)\b", re.IGNORECASE)
_BLOCK = re.compile(r"<(/?)(style|script|head|title|blockquote|noscript)\b[^<>]{0,500}>", re.IGNORECASE)
_QUOTE_DIV = re.compile(r"<div[^<>]{0,200}(?:gmail_quote|moz-cite-prefix|yahoo_quoted|divRplyFwdMsg)", re.IGNORECASE)
_LINE_TAG = re.compile(r"</?(?:br|p|div|li|ul|ol|tr|table|h[1-6]|hr)\b[^<>]{0,2000}>", re.IGNORECASE)
_CELL_TAG = re.compile(r"</?t[dh]\b[^<>]{0,2000}>", re.IGNORECASE)
_TAG = re.compile(r"<(?:/?[a-zA-Z][^<>]{0,2000}|![^<>]{0,2000})>")

_WROTE = re.compile(
    r"^(?:(?:on|le|am|el|em)\b.{0,200}(?:wrote|a écrit|schrieb|escribió|escreveu)[^\n]{0,80}:"
    r"|[^\n]{0,120}<[^<>\s]{1,80}@[^<>\s]{1,80}>[^\n]{0,20} wrote:)$",
    re.IGNORECASE,
)
_ON_OPENS = re.compile(r"^(?:on|le|am|el|em)\b.{0,160}(?:\d{1,4}|\bat\b).{0,160}$", re.IGNORECASE)
_WROTE_ENDS = re.compile(r"(?:wrote|a écrit|schrieb|escribió|escreveu)\s*:$", re.IGNORECASE)
_FORWARD = re.compile(
    r"^(?:-{2,}\s*(?:original message|forwarded message|ursprüngliche nachricht|message d'origine)\s*-{0,}"
    r"|begin forwarded message:|_{10,}|##-.{0,80}-##|={10,})\s*$",
    re.IGNORECASE,
)
_HEADER = re.compile(r"^\*?(?:from|sent|to|cc|date|subject)\s*:\*?\s*\S", re.IGNORECASE)
_DEVICE = re.compile(
    r"^(?:sent (?:from|via|with) (?:my |the )?[\w ®™.-]{2,40}|get outlook for .{2,20}|sent from .{2,40} app)\.?$",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"^(?:(?:(?:kind|best|warm|many|with) ){0,2}(?:regards|wishes|thanks)|best|all the best|cheers|take care|br|rgds"
    r"|thx|thanks(?: in advance| again| so much| a lot)?|thank you(?: in advance| very much| so much| again)?"
    r"|yours(?: sincerely| faithfully| truly)?|sincerely(?: yours)?)\s*[,.!]?$",
    re.IGNORECASE,
)
_SIGNATURE_LINES = 7
_SIGNATURE_WIDTH = 60
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u3000]+")
_LINE_FEED, _QUOTE_SIGN = ord("\n"), ord(">")
_MAY_NEED_CLEANING = np.ones(256, np.bool_)
_MAY_NEED_CLEANING[ord(" ") : 0x7F] = False
_MAY_NEED_CLEANING[[ord("<"), ord("&")]] = True
_MAY_NEED_CLEANING[_LINE_FEED] = False
_BLANK_LINES = re.compile(r"\n\s*\n+")


def clean_body(body: str) -> str:
    """The customer's own words in `body`: markup, quoted mail, signatures and invisible characters removed, NFKC,
    capped.

    Lines stay lines. Nothing of one's own (only quotes, only markup, nothing) gives the empty text.
    """
    text = body[:RAW_CHARACTERS]
    if "<" in text and _MARKUP.search(text):
        text = _without_markup(text)
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if not text.isprintable():
        text = _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if "\n" in text:
        text = _own_lines(text)
    elif text.startswith(">"):
        text = ""
    if "  " in text or not (text.isascii() and text.isprintable()):
        text = _SPACES.sub(" ", text)
    return text.strip()[:CLEAN_CHARACTERS].rstrip()


def clean_bodies(bodies: list[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Of each body the customer's own words, and at which character of the body they begin, -1 where they do not stand
    there as such.

    Words and their order are `clean_body`'s; a body of plain letters on one line is not touched, so it may keep spaces
    that `clean_body` would take away.
    """
    cleaned = list(bodies)
    places = np.zeros(len(bodies), np.int64)
    for row in _not_plain(bodies):
        body = bodies[row]
        cleaned[row] = own = clean_body(body)
        places[row] = body.find(own, 0, RAW_CHARACTERS)
    return cleaned, places


def _not_plain(bodies: list[str]) -> list[int]:
    """Rows of bodies in which there may be something to clean."""
    joined = "\n".join(bodies)
    if joined.count("\n") != len(bodies) - 1:
        joined = "\n".join(body.replace("\n", "\0") for body in bodies)
    letters = np.frombuffer(f"{joined}\n".encode("utf-8", "surrogatepass"), np.uint8)
    ends = np.flatnonzero(letters == _LINE_FEED)
    starts = np.concatenate([[0], ends[:-1] + 1])
    odd = np.flatnonzero(_MAY_NEED_CLEANING[letters])
    rows = np.zeros(len(bodies), np.bool_)
    rows[np.searchsorted(ends, odd)] = True
    rows |= (letters[starts] == _QUOTE_SIGN) | (ends - starts > CLEAN_CHARACTERS)
    return np.flatnonzero(rows).tolist()


def _without_markup(text: str) -> str:
    quote = _QUOTE_DIV.search(text)
    if quote is not None:
        text = text[: quote.start()]
    text = _without_blocks(text)
    if _LAYOUT.search(text):
        text = text.replace("\n", " ")
    text = _LINE_TAG.sub("\n", text)
    return _TAG.sub("", _CELL_TAG.sub(" ", text))


def _without_blocks(text: str) -> str:
    """Text outside style, script, head and quotation blocks; an unclosed block runs to the end."""
    kept: list[str] = []
    depth = 0
    position = 0
    for tag in _BLOCK.finditer(text):
        closes = tag.group(1) == "/"
        if not closes and depth == 0:
            kept.append(text[position : tag.start()])
        if closes:
            depth = max(0, depth - 1)
        else:
            depth += 1
        position = tag.end() if depth == 0 else position
    if depth == 0:
        kept.append(text[position:])
    return "\n".join(kept)


def _own_lines(text: str) -> str:
    lines = [line.strip() for line in text.split("\n")]
    kept: list[str] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        if not line:
            kept.append(line)
        elif line[0] == ">" or _DEVICE.match(line):
            pass
        elif line == "--" or _FORWARD.match(line) or _is_header_block(lines, index):
            break
        elif (header := _wrote_header(lines, index)) > 0:
            index += header
            following = next((later for later in lines[index:] if later), "")
            if not following.startswith(">"):
                break
            continue
        else:
            kept.append(line)
        index += 1
    kept = _without_signature(kept)
    return _BLANK_LINES.sub("\n", "\n".join(kept)).strip()


def _wrote_header(lines: list[str], index: int) -> int:
    """Number of lines of an "On … wrote:" header that starts at `index`; 0 when there is none."""
    if _WROTE.match(lines[index]):
        return 1
    if _ON_OPENS.match(lines[index]):
        for more in (1, 2):
            if index + more < len(lines) and _WROTE_ENDS.search(lines[index + more][-200:]):
                return more + 1
    return 0


def _is_header_block(lines: list[str], index: int) -> bool:
    """Whether a quoted mail's header (From, Sent, To … on lines of their own) starts at `index`."""
    return all(index + more < len(lines) and _HEADER.match(lines[index + more]) is not None for more in (0, 1, 2))


def _without_signature(lines: list[str]) -> list[str]:
    """Cuts a closing formula and what follows it, when that looks like a signature and leaves something to read."""
    last = len(lines) - 1
    while last >= 0 and not lines[last]:
        last -= 1
    for index in range(max(1, last - _SIGNATURE_LINES), last + 1):
        below = [line for line in lines[index + 1 : last + 1] if line]
        if _CLOSING.match(lines[index]) and all(len(line) <= _SIGNATURE_WIDTH for line in below):
            own = lines[:index]
            return own if any(own) else lines
    return lines[: last + 1]
