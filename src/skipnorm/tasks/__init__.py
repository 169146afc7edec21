"""What networks are asked: samples with a fixed split and a content hash, and a loss."""

from skipnorm.errors import TaskError, nearest
from skipnorm.tasks.digits import Digits
from skipnorm.tasks.mnist1d import Mnist1d
from skipnorm.tasks.synthetic import Gaussian
from skipnorm.tasks.task import Task

__all__ = ["TASKS", "Digits", "Gaussian", "Mnist1d", "Task", "named"]

#: Every task by the name that a command line uses.
TASKS: dict[str, type[Task]] = {"digits": Digits, "mnist1d": Mnist1d, "gaussian": Gaussian}


def named(name: str) -> Task:
    """The task of that name with its default settings; TaskError names the choices.

    >>> named("digits")
    Digits()
    """
    if name not in TASKS:
        raise TaskError(f"Unknown task: {nearest(name, TASKS)}")
    return TASKS[name]()
