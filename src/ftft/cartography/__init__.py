"""From training dynamics to a supervision. All selectors are registered once any module here is imported."""

from . import controls, dual_model, mixtures, relabelling, selection, strata

__all__ = ["controls", "dual_model", "mixtures", "relabelling", "selection", "strata"]
