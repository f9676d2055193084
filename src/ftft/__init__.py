"""FTFT: efficient and robust fine-tuning by transferring training dynamics (arXiv 2310.06588).

The names below load their modules when they are first used: importing ftft costs no torch and no pandas.
"""

from importlib import import_module

__version__ = "0.1.0"

MODULES = {
    "cartography.recorder": ["DynamicsRecorder"],
    "cartography.kind_recorder": ["KindRecorder"],
    "cartography.trainer": ["RecordingMixin"],
    "cartography.dynamics": ["Dynamics", "load_dynamics", "save_dynamics"],
    "cartography.interchange": ["export_cartography", "import_cartography", "write_dynamics"],
    "cartography.losses": ["dynamics_of_losses", "import_s2l", "import_small2large"],
    "cartography.datamap": ["DataMap", "build_map", "write_map"],
    "cartography.scores": [
        "area_under_margin",
        "el2n",
        "forgetting_events",
        "predictive_entropy",
        "threshold_closeness",
    ],
    "cartography.selection": ["easy_share", "regions", "select", "select_random", "select_region"],
    "cartography.mixtures": ["class_balanced", "coverage_centric", "with_copies", "with_easy"],
    "cartography.overlap": ["overlap", "overlap_matrix"],
    "data.dataset": ["Dataset"],
    "errors": ["FtftError"],
    "results.opened": ["open_run"],
}
PLACES = {name: module for module, names in MODULES.items() for name in names}
__all__ = sorted(PLACES)


def __getattr__(name: str):
    if name == "plot":
        return import_module(".plot", __name__)
    if name not in PLACES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
