"""Transform: computes the marts and the activation tables of one pass from what has landed, with dbt."""

from roomtone.transform.build import TransformReport, transform

__all__ = ["TransformReport", "transform"]
