"""Whether a process of this machine has ended."""

from pathlib import Path


def has_ended(process: int | str) -> bool:
    """Whether no process of this number runs: a zombie, which its parent has yet to collect, has ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return True
    # The name before the state stands in brackets and may itself hold any character.
    return state.rpartition(")")[2].split()[0] in "ZX"
