"""Where the norms, activations and skips of any network are. Calling this module is calling `anatomy`."""

import sys
from types import ModuleType
from typing import Any

from skipnorm.anatomy.discover import anatomy
from skipnorm.anatomy.sites import Activation, Anatomy, Norm, Site, Skip

__all__ = ["Activation", "Anatomy", "Norm", "Site", "Skip", "anatomy"]


class _Callable(ModuleType):
    """`skipnorm.anatomy` is a package and, for its users, a function: whichever is imported first."""

    def __call__(self, *args: Any, **kwargs: Any) -> Anatomy:
        return anatomy(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
