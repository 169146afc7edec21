"""Characters: targets one further on, parts that share no character, numbers that read back."""

import hashlib
import string

import numpy as np
import pytest
import torch

from skipnorm.errors import TaskError
from skipnorm.tasks import Characters
from skipnorm.tasks.losses import loss_of

#: Every character once and in order, so that the place of each can be told.
ONCE = "".join(map(chr, range(0x4E00, 0x4E00 + 1000)))


@pytest.fixture
def once(tmp_path):
    (tmp_path / "once.txt").write_text(ONCE, encoding="utf-8")
    return tmp_path / "once.txt"


def test_targets_are_the_next_characters(tmp_path):
    (tmp_path / "a.txt").write_text("hello world", encoding="utf-8")
    task = Characters(tmp_path / "a.txt", context=5, test=0.0, validation=0.0)
    assert task.alphabet == " dehlorw"
    inputs, targets = task.full("train")
    assert [task.text(row) for row in inputs] == ["hello", " worl"]
    assert [task.text(row) for row in targets] == ["ello ", "world"]
    assert inputs.dtype == targets.dtype == torch.int64
    assert (task.classes, task.inputs_shape, task.loss) == (8, (5,), "cross_entropy")


@pytest.mark.parametrize("context", [1, 7, 64])
def test_parts_share_no_character_and_stand_in_order(once, context):
    task = Characters(once, context=context)
    seen = []
    for split, start, end in (("train", 0, 720), ("validation", 720, 900), ("test", 900, 1000)):
        inputs, targets = task.full(split)
        assert torch.equal(targets, inputs + 1)
        used = {*inputs.flatten().tolist(), *targets.flatten().tolist()}
        assert used == set(range(start, start + len(inputs) * context + 1))
        assert max(used) < end
        assert len(targets.flatten().unique()) == targets.numel()  # each is asked for once
        assert end - start - len(used) < context
        seen.append(used)
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]


def test_hash_is_that_of_the_file(once):
    task = Characters(once)
    assert task.hash == hashlib.sha256(ONCE.encode()).hexdigest()
    assert Characters(once, sha256=task.hash).count("train") == 11
    with pytest.raises(TaskError, match="SHA-256 00, found"):
        Characters(once, sha256="00").full("train")


def test_batches_are_pieces(once):
    task = Characters(once, context=8)
    inputs, targets = task.batch(5, seed=1)
    whole = {tuple(row) for row in task.full("train")[0].tolist()}
    assert {tuple(row) for row in inputs.tolist()} <= whole
    assert torch.equal(targets, inputs + 1)


def test_what_is_no_text_is_refused(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"caf\xe9" * 100)
    with pytest.raises(TaskError, match="UTF-8, found the byte 0xe9 at position 3"):
        Characters(file).full("train")
    file.write_text(string.ascii_letters)
    with pytest.raises(TaskError, match="at least 65 characters in the train part, found 38 of 52"):
        Characters(file).full("train")
    with pytest.raises(TaskError, match="context from 1 up"):
        Characters(file, context=0)
    with pytest.raises(TaskError, match="Expected a file"):
        Characters(tmp_path / "none.txt").batch(1, 0)


def test_entropy_of_a_coin_is_one_bit(tmp_path):
    # Two characters drawn evenly: no model can know more than ln 2 nats in the mean.
    draws = np.random.default_rng(0).integers(0, 2, 5000)
    (tmp_path / "coin.txt").write_text("".join("ht"[draw] for draw in draws))
    task = Characters(tmp_path / "coin.txt", context=10)
    _, targets = task.full("test")
    outputs = torch.zeros(*targets.shape, task.classes, requires_grad=True)
    assert float(loss_of(outputs, targets, task.loss).detach()) == pytest.approx(np.log(2))
