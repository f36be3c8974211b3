"""validate: Great Expectations judges raw in and marts out, and a pass with a critical failure is never synced."""

from roomtone.validate.report import Failure, TableResult, ValidationReport
from roomtone.validate.validation import validate

__all__ = ["Failure", "TableResult", "ValidationReport", "validate"]
