"""A seeded small brand with planted truth, served as a helpdesk, a marketing platform and a shop over HTTP.

It runs as a process of its own (`python -m roomtone.sandbox serve`) and keeps its own log of everything that reaches
it. No other part of roomtone imports it.
"""
