"""Replays history under other policies or another model, beside the live stores and without touching them."""

from roomtone.replay.difference import Difference
from roomtone.replay.simulation import simulate

__all__ = ["Difference", "simulate"]
