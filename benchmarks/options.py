"""What a section is told by the command line."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """`quick` runs the smallest form of a section, to see it work; its figures mean little.

    `data` is a folder of real data sets, `cartography` and `ftft` are checkouts of allenai/cartography and
    nlpsoc/FTFT: None where there are none. `threads` are those of torch.
    """

    quick: bool = False
    data: Path | None = None
    cartography: Path | None = None
    ftft: Path | None = None
    threads: int = 1

    def repeats(self, full: int) -> int:
        """Repeats of a section that takes `full` of them, or 1 where quick."""
        return 1 if self.quick else full
