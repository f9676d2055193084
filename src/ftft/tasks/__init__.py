"""Kinds of tasks and their metrics."""
