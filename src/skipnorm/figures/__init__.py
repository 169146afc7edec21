"""Evidence in, plotly figure out; one palette, theory drawn beside the measurement.

Figures compute nothing but means and intervals, and they show what is not finite as such. Nothing
here imports torch.
"""

from skipnorm.figures.intervals import intervals
from skipnorm.figures.matrix import matrix
from skipnorm.figures.palette import SERIES, twins
from skipnorm.figures.profile import profile
from skipnorm.figures.strip import strip
from skipnorm.figures.surface import surface
from skipnorm.figures.surfaces import surfaces
from skipnorm.figures.traces import traces

__all__ = [
    "SERIES",
    "intervals",
    "matrix",
    "profile",
    "strip",
    "surface",
    "surfaces",
    "traces",
    "twins",
]
