"""What each block and shortcut is worth: lesions, permutations, gradient by length of path."""

from skipnorm.probes.paths.prices import paths

__all__ = ["paths"]
