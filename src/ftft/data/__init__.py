"""Data sets: sources, readers, checks, and the generated task of the demonstration."""
