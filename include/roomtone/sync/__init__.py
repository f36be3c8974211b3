"""sync: brings destinations to the state that the warehouse says they should have, and publishes the marts."""

from roomtone.sync.report import KindCounts, SyncReport
from roomtone.sync.run import sync

__all__ = ["KindCounts", "SyncReport", "sync"]
