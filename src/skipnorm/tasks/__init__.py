"""What networks are asked: samples with a fixed split and a content hash, and a loss."""

from skipnorm.tasks.batches import Batches
from skipnorm.tasks.cifar import Cifar10, Cifar100
from skipnorm.tasks.digits import Digits
from skipnorm.tasks.folders import ImageFolder
from skipnorm.tasks.hub import Hub
from skipnorm.tasks.idx import FashionMnist, Mnist
from skipnorm.tasks.mnist1d import Mnist1d
from skipnorm.tasks.naming import TASKS, named, task_of
from skipnorm.tasks.npz import Npz
from skipnorm.tasks.synthetic import Gaussian
from skipnorm.tasks.task import Task
from skipnorm.tasks.text import Characters

__all__ = [
    "TASKS",
    "Batches",
    "Characters",
    "Cifar10",
    "Cifar100",
    "Digits",
    "FashionMnist",
    "Gaussian",
    "Hub",
    "ImageFolder",
    "Mnist",
    "Mnist1d",
    "Npz",
    "Task",
    "named",
    "task_of",
]
