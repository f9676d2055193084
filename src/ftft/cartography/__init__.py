"""From training dynamics to a supervision. All selectors are registered once any module here is imported."""

from . import controls, mixtures, selection

__all__ = ["controls", "mixtures", "selection"]
