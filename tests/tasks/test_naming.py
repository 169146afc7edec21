"""Every way to name a task, and every way to have one."""

import numpy as np
import pytest
import torch

from skipnorm.errors import TaskError
from skipnorm.tasks import Batches, Characters, Digits, ImageFolder, Npz, named, task_of

MODULE = """
from skipnorm.tasks import Digits
import torch
task = Digits(flat=True)
def make():
    return Digits(validation=0.1)
def needs(size):
    return None
loader = [(torch.zeros(10, 3), torch.arange(10) % 2)]
class Own:
    loss = "mse"
    def batch(self, size, seed):
        return torch.zeros(size, 1), torch.zeros(size, 1)
number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "users_tasks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("module")
def test_tasks_of_a_module():
    assert named("users_tasks:task") == Digits(flat=True)
    assert named("users_tasks:make") == Digits(validation=0.1)
    assert named("skipnorm.tasks:Digits") == Digits()
    assert isinstance(named("users_tasks:loader"), Batches)
    assert named("users_tasks:loader").count("train") == 6
    assert named("users_tasks:Own").batch(2, 0)[0].shape == (2, 1)


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("users_tasks:needs", "without arguments, but it needs size"),
        ("users_tasks:tusk", "Did you mean 'task'"),
        ("users_task:task", "no module 'users_task'"),
        ("users_tasks:number", "found int"),
        ("digit", "Did you mean 'digits'.*'pkg.module:task'"),
    ],
)
def test_what_names_no_task(name, says):
    with pytest.raises(TaskError, match=says):
        named(name)


def test_files_and_folders(tmp_path):
    np.savez(tmp_path / "set.npz", x=np.eye(9), y=np.arange(9) % 3)
    assert named(str(tmp_path / "set.npz")) == Npz(str(tmp_path / "set.npz"))
    assert isinstance(named(str(tmp_path)), ImageFolder)
    assert named("book.txt") == Characters("book.txt")


def test_things_that_are_tasks():
    assert task_of(Digits()) == task_of(Digits) == task_of("digits") == Digits()
    assert isinstance(task_of([(torch.zeros(3, 1), torch.zeros(3))]), Batches)
    for wrong in (3, {"a": 1}, b"bytes"):
        with pytest.raises(TaskError, match=f"found {type(wrong).__name__}"):
            task_of(wrong)
