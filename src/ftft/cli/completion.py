"""`ftft completion`: what a shell needs to complete the commands and options of `ftft`."""

import argparse

import shtab

from . import parser


def completion(chosen: argparse.Namespace) -> None:
    """Print the completion script of the shell `chosen.shell`."""
    print(shtab.complete(parser(), chosen.shell))
