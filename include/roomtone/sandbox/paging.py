"""Pages of a list in Klaviyo's way: `page[size]`, `page[cursor]`, and a link to the next page."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from roomtone.sandbox.web import Call, RefusedError, whole_number


def page_of(
    rows: list[Any],
    call: Call,
    key: Callable[[Any], str],
    *,
    most: int,
    default: int | None = None,
    is_sorted_by_key: bool = True,
    keys: Sequence[str] | None = None,
) -> tuple[list[Any], dict[str, str]]:
    """One page and its links. The cursor names the last row shown; `next` is left out at the end, never null.

    `keys`: what `key` gives for each row, where that is known already.
    """
    size, first = whole_number(call.params.get("page[size]", str(default or most)), 1, most), 0
    if size is None:
        raise RefusedError(
            400, "invalid", f"Page size must be an integer between 1 and {most}.", parameter="page[size]"
        )
    cursor = call.params.get("page[cursor]")
    if cursor:
        try:
            shown = urlsafe_b64decode(cursor.encode()).decode()
        except ValueError:
            raise RefusedError(400, "invalid", "Invalid page cursor", parameter="page[cursor]") from None
        first = _behind([key(row) for row in rows] if keys is None else keys, shown, is_sorted_by_key)
    page = rows[first : first + size]
    url = f"{call.base_url}{call.path}"
    asked = {k: f"{quote(k)}={quote(v)}" for k, v in call.params.items()}
    links = {"self": url + (f"?{'&'.join(asked.values())}" if asked else "")}
    if first + size < len(rows):
        other = "&".join(pair for k, pair in asked.items() if k != "page[cursor]")
        code = urlsafe_b64encode(key(page[-1]).encode()).decode()
        links["next"] = f"{url}?{other}{'&' if other else ''}{quote('page[cursor]')}={quote(code)}"
    return page, links


def _behind(keys: Sequence[str], shown: str, is_sorted_by_key: bool) -> int:
    """Index of the first row after the one that a cursor names, also when that row is gone meanwhile."""
    if is_sorted_by_key and len(keys) > 1 and keys[0] > keys[-1]:
        return bisect_left(range(len(keys)), True, key=lambda index: keys[index] < shown)
    if is_sorted_by_key:
        return bisect_right(keys, shown)
    return keys.index(shown) + 1 if shown in keys else len(keys)
