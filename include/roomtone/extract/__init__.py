"""Extract: from the sources into the raw store, each version of each record once."""

from roomtone.extract.extraction import SOURCES, ExtractReport, extract
from roomtone.extract.intake import StreamCount

__all__ = ["SOURCES", "ExtractReport", "StreamCount", "extract"]
