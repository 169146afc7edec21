"""Which norms and skips of a network pull their weight. Calling this module is calling `audit`."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skipnorm.audit.audit import Audit

__all__: list[str] = []


class _Callable(ModuleType):
    """`skipnorm.audit` is a package and, for its users, a function (decision 0002)."""

    def __call__(self, *args: Any, **kwargs: Any) -> "Audit":
        from skipnorm.audit.conduct import audit

        return audit(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
