"""The loss around a state: lines, planes, and the way between two states."""

from skipnorm.probes.landscape.surface import Along, landscape

__all__ = ["Along", "landscape"]
