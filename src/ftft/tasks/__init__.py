"""Kinds of task and their metrics. All metrics are registered once any module here is imported."""

from . import metrics, text_metrics

__all__ = ["metrics", "text_metrics"]
