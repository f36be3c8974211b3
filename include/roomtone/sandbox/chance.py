"""Draws that depend on a seed and a key only, never on the order in which they are made.

Two runs of the same brand that differ in one pause therefore differ in nothing else.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Item = TypeVar("Item")


def _bits(seed: int, key: tuple[object, ...]) -> int:
    return int.from_bytes(blake2b(repr((seed, key)).encode(), digest_size=16).digest())


def draw(seed: int, *key: object) -> float:
    """A uniform number in [0, 1) for this key."""
    return (_bits(seed, key) >> 75) / (1 << 53)


def between(seed: int, low: float, high: float, *key: object) -> float:
    """A uniform number in [low, high) for this key."""
    return low + (high - low) * draw(seed, *key)


def choose(seed: int, items: Sequence[Item], *key: object) -> Item:
    """One of the items, each as likely as the others."""
    return items[int(draw(seed, *key) * len(items))]


def token(seed: int, *key: object, prefix: str = "01H", length: int = 26) -> str:
    """An identifier in the look of a ULID: `prefix`, then base-32 characters up to `length`."""
    bits = _bits(seed, key) | _bits(seed, (*key, "more")) << 128
    digits = []
    for _ in range(length - len(prefix)):
        bits, digit = divmod(bits, 32)
        digits.append(_ALPHABET[digit])
    return prefix + "".join(digits)


def uuid(seed: int, *key: object) -> str:
    """An identifier in the look of a UUID, version 4."""
    text = f"{_bits(seed, key):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
