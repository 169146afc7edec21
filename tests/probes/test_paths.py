"""Prices and path lengths: against linear algebra by hand, networks written out without a side, and theory.

Sources of truth: numpy on linear residual networks (every price, every term of prod(I + A_l)); modules whose forward
lacks a side; the Poisson-binomial of science section 5.3 (H5-f); paired standard errors by their definition.
"""

from collections.abc import Callable
from functools import partial, reduce
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from skipnorm.errors import ProbeError
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes.findings import Findings
from skipnorm.probes.paths import paths
from skipnorm.probes.paths.gradients import routes
from skipnorm.probes.paths.lesions import survey
from skipnorm.probes.problem import posed
from skipnorm.studies.measure import labelled

PLAIN: dict[str, Any] = {"deleted": (), "swaps": (), "draws": 1}


class Block(nn.Module):
    """x + A x, the sum written as asked."""

    def __init__(
        self, matrix: Tensor, join: Callable[[Tensor, Tensor], Tensor] = torch.add
    ) -> None:
        super().__init__()
        self.branch = nn.Linear(*matrix.shape, bias=False, dtype=torch.float64)
        self.branch.weight = nn.Parameter(matrix)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(x, self.branch(x))


def linear(depth: int, width: int = 3, join: Any = torch.add) -> tuple[nn.Sequential, list[Any]]:
    draw = torch.Generator().manual_seed(depth)
    matrices = [
        torch.randn(width, width, generator=draw, dtype=torch.float64) for _ in range(depth)
    ]
    blocks = nn.Sequential(*(Block(matrix.clone(), join) for matrix in matrices))
    return blocks, [matrix.numpy() for matrix in matrices]


def data(samples: int = 5, width: int = 3, outputs: int = 3) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(9)
    x = torch.randn(samples, width, generator=draw, dtype=torch.float64)
    return x, torch.randn(samples, outputs, generator=draw, dtype=torch.float64)


# Prices -------------------------------------------------------------------------------------------


def test_every_price_of_two_linear_blocks_is_that_of_matrices() -> None:
    network, (a, b) = linear(2)
    x, y = data()
    one = np.eye(3)

    def losses(first: Any, second: Any) -> Any:
        return ((x.numpy() @ (second @ first).T - y.numpy()) ** 2).mean(1)

    whole = losses(one + a, one + b)
    lesions = {
        "deletion": [losses(one, one + b), losses(one + a, one)],
        "cut": [losses(a, one + b), losses(one + a, b)],
    }
    values = paths(network, (x, y), loss="mse", deleted=(1, 2), swaps=(1,), draws=4).values
    assert values["loss"] == pytest.approx(whole.mean(), rel=1e-12)
    for name, each in lesions.items():
        rises = [lesion - whole for lesion in each]
        errors = [rise.std(ddof=1) / np.sqrt(len(rise)) for rise in rises]
        np.testing.assert_allclose(values[f"{name}_loss_price"], np.mean(rises, 1), rtol=1e-11)
        np.testing.assert_allclose(values[f"{name}_loss_price_error"], errors, rtol=1e-11)
    both = losses(one, one).mean() - whole.mean()
    np.testing.assert_allclose(values["lesion_loss_price"][1], [both] * 4, rtol=1e-11)
    singles = [(lesion - whole).mean() for lesion in lesions["deletion"]]
    assert {round(p, 9) for p in values["lesion_loss_price"][0]} <= {round(p, 9) for p in singles}
    swapped = losses(one + b, one + a).mean() - whole.mean()
    np.testing.assert_allclose(values["permutation_loss_price"], [[swapped] * 4], rtol=1e-11)
    inner = x.numpy() @ (one + a).T
    ratios = [
        np.linalg.norm(x.numpy() @ a.T) / np.linalg.norm(x),
        np.linalg.norm(inner @ b.T) / np.linalg.norm(inner),
    ]
    np.testing.assert_allclose(values["branch_ratio"], ratios, rtol=1e-12)


def in_place_on_shortcut(x: Tensor, branch: Tensor) -> Tensor:
    x = x.clone()
    x += branch
    return x


def in_place_on_branch(x: Tensor, branch: Tensor) -> Tensor:
    branch += x
    return branch


def as_statement(x: Tensor, branch: Tensor) -> Tensor:
    branch.add_(x)
    return branch


def by_lerp(x: Tensor, branch: Tensor) -> Tensor:
    return 2 * torch.lerp(x, branch, 0.5)


def by_stack(x: Tensor, branch: Tensor) -> Tensor:
    return torch.stack([x, branch]).sum(0)


def by_stack_of_three(x: Tensor, branch: Tensor) -> Tensor:
    return torch.stack([x, 0.25 * branch, 0.75 * branch]).sum(0)


def negated(x: Tensor, branch: Tensor) -> Tensor:
    return x - (-branch)


@pytest.mark.parametrize(
    "join",
    [
        in_place_on_shortcut,
        in_place_on_branch,
        as_statement,
        by_lerp,
        by_stack,
        by_stack_of_three,
        negated,
    ],
    ids=lambda join: join.__name__,
)
def test_however_the_sum_is_written_the_numbers_are_the_same(join: Any) -> None:
    settings: dict[str, Any] = {"loss": "mse", "deleted": (1, 2), "swaps": (1,), "draws": 3}
    expected = paths(linear(3)[0], data(), **settings).values
    found = paths(linear(3, join=join)[0], data(), **settings).values
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


class Broken(nn.Module):
    """x + NaN, and a healthy block beside it."""

    def __init__(self, good: Tensor) -> None:
        super().__init__()
        self.sick, self.well = Block(torch.full_like(good, torch.nan)), Block(good)

    def forward(self, x: Tensor) -> Tensor:
        return self.well(self.sick(x))


def test_nan_in_a_side_that_is_gone_never_reaches_the_output() -> None:
    x, y = data()
    good = torch.eye(3, dtype=torch.float64)
    found = paths(Broken(good), (x, y), loss="mse", **PLAIN)
    assert np.isnan(found.values["loss"])
    assert np.isnan(found.values["deletion_loss_price"]).all()  # against NaN, no price is a number
    healthy = Broken(good)
    with posed(healthy, (x, y), loss="mse") as problem:
        from skipnorm.probes.paths.trial import Trial

        seen = survey(healthy, (x, y))
        trial = Trial(problem, seen, seen.junctions, "mse", None)
        with trial.taken(seen.junctions[:1], "branch"):
            assert float(problem.losses()[0]) == pytest.approx(float(((2 * x - y) ** 2).mean()))
        with trial.taken(seen.junctions[:1], "shortcut"):
            assert problem.losses().isnan().all()


class Dense(nn.Module):
    """Joins everything that came before, twice; `gone` names sides that are zero."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 2).double(), nn.Linear(5, 2).double()
        self.head = nn.Linear(7, 3).double()
        self.gone: tuple[str, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        first = self.one(x)
        left, right = self.part("a", x), self.part("b", first)
        second = self.two(torch.cat([left, right], 1))
        kept = self.part("c", torch.cat([x, first], 1)) if self.gone else None
        if kept is None:
            return self.head(torch.cat([x, first, second.relu()], 1))
        return self.head(torch.cat([kept, self.part("d", second.relu())], 1))

    def part(self, name: str, value: Tensor) -> Tensor:
        return torch.zeros_like(value) if name in self.gone else value


def test_a_concatenation_has_zeros_in_place_of_a_side() -> None:
    network, (x, y) = Dense(), data()
    values = paths(network, (x, y), loss="mse", **PLAIN).values
    assert len(values["cut_loss_price"]) == 2

    def loss(*gone: str) -> float:
        network.gone = gone
        with torch.no_grad():
            return float(((network(x) - y) ** 2).mean())

    base = loss("nothing")
    assert values["loss"] == pytest.approx(base)
    for name, sides in (("deletion", "bd"), ("cut", "ac")):
        expected = [loss(side) - base for side in sides]
        np.testing.assert_allclose(values[f"{name}_loss_price"], expected, rtol=1e-9)


class Projecting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shortcut = nn.Linear(3, 4).double()
        self.branch = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4)).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.shortcut(x)


def test_a_projection_stays_when_its_block_is_deleted_and_goes_when_cut() -> None:
    network, (x, y) = Projecting(), data(outputs=4)
    values = paths(network, (x, y), loss="mse", **PLAIN).values
    base, alone, branch = (
        float(((side(x) - y) ** 2).mean().detach())
        for side in (network, network.shortcut, network.branch)
    )
    assert values["deletion_loss_price"][0] == pytest.approx(alone - base)
    assert values["cut_loss_price"][0] == pytest.approx(branch - base)


@pytest.mark.parametrize("statistics", ["as_is", "batch", "running", "recalibrated"])
def test_prices_under_each_kind_of_batch_statistics(statistics: str) -> None:
    recipe = Perceptron(residual=True, norm="batch", inputs=8, width=8, depth=3)
    network, draw = recipe.build(0, dtype=torch.float64), torch.Generator().manual_seed(1)
    batch = torch.randn(32, 8, generator=draw).double(), torch.randint(0, 10, (32,), generator=draw)
    network.train()
    network(batch[0] + 1)  # running statistics of their own
    found = paths(network, batch, statistics=statistics, **PLAIN).values

    def scored(model: nn.Module) -> tuple[float, float]:
        if statistics == "recalibrated":
            for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm1d)):
                norm.reset_running_stats()
                norm.momentum = None
            model.train()(batch[0])
        model.train(statistics in ("as_is", "batch"))
        with torch.no_grad():
            outputs = model(batch[0])
        accuracy = (outputs.argmax(1) == batch[1]).double().mean()
        return float(nn.functional.cross_entropy(outputs, batch[1])), float(accuracy)

    whole, right = scored(_twin(network))
    for position in range(3):
        lesioned = _twin(network)
        block = lesioned.blocks[position]
        block.branch = lambda x, branch=block.branch: 0 * branch(x)  # type: ignore[method-assign]
        loss, accuracy = scored(lesioned)
        assert found["deletion_loss_price"][position] == pytest.approx(loss - whole, abs=1e-12)
        assert found["deletion_accuracy_price"][position] == pytest.approx(right - accuracy)


def _twin(network: nn.Module) -> Any:
    import copy

    return copy.deepcopy(network)


def test_several_batches_are_one_large_one_in_eval_mode() -> None:
    network = Perceptron(residual=True, inputs=3, width=8, depth=4, outputs=3).build(0).double()
    x, y = data(samples=12)
    labels = y.argmax(1)
    whole = paths(network, (x, labels), draws=3)
    parts = paths(network, [(x[:4], labels[:4]), (x[4:], labels[4:])], draws=3)
    for name, value in whole.values.items():
        if not name.startswith(("path_", "branch_gain")):
            np.testing.assert_allclose(parts.values[name], value, rtol=1e-9, atol=1e-12)


# Gradients along paths ----------------------------------------------------------------------------


def test_gradients_along_paths_are_the_terms_of_the_product() -> None:
    network, matrices = linear(4)
    x, v = data()
    values = paths(network, (x, v), loss="inner_product", walks=6, **PLAIN).values
    terms: dict[tuple[int, ...], Any] = {}
    for length in range(5):
        for chosen in combinations(range(4), length):
            terms[chosen] = reduce(
                lambda product, block, chosen=chosen: (
                    matrices[block] @ product if block in chosen else product
                ),
                range(4),
                np.eye(3),
            )
    whole = reduce(lambda product, matrix: (np.eye(3) + matrix) @ product, matrices, np.eye(3))
    np.testing.assert_allclose(sum(terms.values()), whole, rtol=1e-12)  # the expansion itself
    norms = [
        [np.linalg.norm(v.numpy() @ term) for chosen, term in terms.items() if len(chosen) == k]
        for k in range(5)
    ]
    mass = np.array([np.sum(each) for each in norms])
    power = np.array([np.square(each).sum() for each in norms])
    steps = np.arange(5)
    np.testing.assert_allclose(
        values["path_gradient"], [np.mean(each) for each in norms], rtol=1e-12
    )
    np.testing.assert_allclose(values["path_mass"], mass, rtol=1e-12)
    np.testing.assert_allclose(values["path_mass_share"], mass / mass.sum(), rtol=1e-12)
    np.testing.assert_allclose(values["path_power_share"], power / power.sum(), rtol=1e-12)
    assert values["path_length_by_norm"] == pytest.approx(steps @ mass / mass.sum())
    assert values["path_length_by_power"] == pytest.approx(steps @ power / power.sum())
    assert values["path_gradient_error"].tolist() == [0] * 5  # all paths were taken
    gains, total = [], v.numpy()
    for matrix in reversed(matrices):
        gains.append(np.square(total @ matrix).sum() / np.square(total).sum())
        total = total @ (np.eye(3) + matrix)
    np.testing.assert_allclose(values["branch_gain"], gains[::-1], rtol=1e-11)


def test_paths_drawn_by_the_gains_divide_power_as_all_paths_do() -> None:
    network, _ = linear(8, width=4)
    x, v = data(width=4, outputs=4)
    every = paths(network, (x, v), loss="inner_product", walks=70, **PLAIN).values
    drawn = paths(network, (x, v), loss="inner_product", walks=60, **PLAIN).values
    assert every["path_length_by_power_error"] == 0 < drawn["path_length_by_power_error"]
    off = drawn["path_length_by_power"] - every["path_length_by_power"]
    assert abs(off) < 3 * drawn["path_length_by_power_error"]
    np.testing.assert_allclose(drawn["path_power_share"], every["path_power_share"], atol=0.1)


def test_the_sum_over_all_paths_is_the_gradient() -> None:
    network, _ = linear(3)
    x, v = data()
    with posed(network, (x, v), loss="inner_product"):
        seen = survey(network, (x, v))
        leaf = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad((network(leaf) * v).sum(), leaf)
        with routes(network, (x, v), "inner_product", seen, seen.junctions) as way:
            assert way.serial == (0, 1, 2)
            assert way.norm() == pytest.approx(float(expected.norm()), rel=1e-13)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(
    "recipe",
    [
        Perceptron(residual=True, norm="batch", inputs=8, width=8, depth=3, order="original"),
        ConvNet(residual=True, norm="batch", width=4, depth=2, dims=2, shortcut_scale=0.7),
        Perceptron(residual=True, initializer="nf", inputs=8, width=8, depth=3, branch_scale=0.2),
    ],
    ids=str,
)
def test_forward_values_are_bit_identical_while_gradients_are_sent_along_paths(
    recipe: Any, mode: str
) -> None:
    network = recipe.build(0).train(mode == "train")
    x = torch.randn(6, 8) if isinstance(recipe, Perceptron) else torch.randn(6, 1, 8, 8)
    batch = x, torch.arange(6)
    with posed(network, batch) as problem:
        seen = survey(network, batch)
        expected = float(problem.losses()[0])
        with routes(network, batch, None, seen, seen.junctions) as way:
            assert way.value == expected


class Recomputing(nn.Module):
    """Blocks under gradient checkpointing."""

    def __init__(self, blocks: nn.Sequential, reentrant: bool) -> None:
        super().__init__()
        self.blocks, self.reentrant = blocks, reentrant

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=self.reentrant)
        return x


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_nothing(reentrant: bool) -> None:
    blocks, _ = linear(3)
    expected = paths(blocks, data(), loss="mse", **PLAIN).values
    found = paths(Recomputing(blocks, reentrant), data(), loss="mse", **PLAIN).values
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)


class Around(nn.Module):
    """A U-Net in small: the inner skip is passed by along the outer one."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(3, 4).double(), nn.Linear(4, 3).double()
        self.inner = Block(torch.eye(4, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.up(self.inner(self.down(x)))], 1)


def test_a_skip_that_a_path_goes_around_is_left_open_and_named() -> None:
    network, (x, v) = Around(), data(outputs=6)
    found = paths(network, (x, v), loss="inner_product", **PLAIN)
    assert [note for note in found.notes if "goes around" in note and "inner" in note]
    v = v.numpy()
    through = (
        network.up.weight.detach().numpy() @ (2 * np.eye(4)) @ network.down.weight.detach().numpy()
    )
    expected = [np.linalg.norm(v[:, :3]), np.linalg.norm(v[:, 3:] @ through)]
    np.testing.assert_allclose(found.values["path_gradient"], expected, rtol=1e-12)


@pytest.mark.parametrize("depth", [12, pytest.param(54, marks=pytest.mark.slow)])
@pytest.mark.parametrize("start", ["no norm", "batch", "skipinit"])
def test_expected_path_lengths_at_the_start(start: str, depth: int) -> None:
    """H5-f: half the blocks, a handful, about one: measured and predicted within 10 % of theory."""
    settings, length = {
        "no norm": ({}, depth / 2),
        "batch": ({"norm": "batch"}, sum(1 / (2 + (1 - 1 / np.pi) * n) for n in range(depth))),
        "skipinit": ({"initializer": "skipinit"}, depth / (depth + 1)),
    }[start]
    recipe = Perceptron(residual=True, depth=depth, width=150, inputs=150, **settings)
    network, draw = recipe.build(0), torch.Generator().manual_seed(0)
    batch = torch.randn(150, 150, generator=draw), torch.randn(150, 10, generator=draw)
    found = paths(
        network, batch, loss="inner_product", statistics="batch", walks=60, **PLAIN
    ).values
    assert found["path_length_by_power_error"] < 0.05 * length
    assert found["path_length_predicted"] == pytest.approx(length, rel=0.1)
    assert found["path_length_by_power"] == pytest.approx(found["path_length_predicted"], rel=0.1)
    assert found["path_power_share_predicted"] @ np.arange(depth + 1) == pytest.approx(
        found["path_length_predicted"]
    )


# Laws ---------------------------------------------------------------------------------------------


def state(network: nn.Module) -> dict[str, Any]:
    kept = {f"tensor {name}": t.clone() for name, t in network.state_dict().items()}
    kept |= {f"grad {name}": p.grad for name, p in network.named_parameters()}
    for name, module in network.named_modules():
        kept[f"module {name}"] = (type(module), module.training, sorted(vars(module)))
        kept[f"children {name}"] = [id(child) for child in module.children()]
        kept[f"hooks {name}"] = len(module._forward_hooks) + len(module._forward_pre_hooks)
    kept["random"] = torch.get_rng_state()
    kept["numpy"] = np.random.get_state()[1].tolist()  # noqa: NPY002
    return kept


def assert_untouched(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before.keys() == after.keys()
    for name, value in before.items():
        same = (
            torch.equal(value, after[name]) if isinstance(value, Tensor) else value == after[name]
        )
        assert same, name


def patient() -> tuple[nn.Module, Any]:
    recipe = Perceptron(residual=True, norm="batch", inputs=4, width=4, depth=4)
    draw = torch.Generator().manual_seed(0)
    batch = torch.randn(16, 4, generator=draw), torch.randint(0, 10, (16,), generator=draw)
    return recipe.build(0), batch


def assert_same(one: Findings, other: Findings) -> None:
    assert one.quantities == other.quantities
    assert one.notes == other.notes
    for name, value in one.values.items():
        np.testing.assert_array_equal(value, other.values[name], err_msg=name)


def test_the_same_answer_twice_and_no_trace() -> None:
    network, batch = patient()
    before, x = state(network), batch[0].clone()
    first = paths(network, batch, draws=2)
    assert_untouched(before, state(network))
    assert torch.equal(batch[0], x)
    torch.rand(3)
    assert_same(first, paths(network, batch, draws=2))
    dataset = labelled(first)
    assert set(dataset.sizes) == {"site", "block", "case", "draw", "length"}
    assert all(name in dataset for name in ("deletion_loss_price", "path_mass"))


def test_dropout_is_the_same_with_and_without_a_side() -> None:
    blocks, _ = linear(2)
    idle = Block(torch.zeros(3, 3, dtype=torch.float64))
    network = nn.Sequential(nn.Dropout(0.5), *blocks, idle)
    values = paths(network, data(), loss="mse", **PLAIN).values
    assert values["deletion_loss_price"][-1] == 0
    assert values["deletion_loss_price_error"][-1] == 0


def test_progress_ends_at_its_total() -> None:
    network, batch = patient()
    seen: list[tuple[int, int]] = []
    paths(network, batch, draws=2, progress=lambda *pair: seen.append(pair))
    assert seen[-1][0] == seen[-1][1] == len(seen)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"draws": 0}, "draws"),
        ({"walks": -1}, "walks"),
        ({"deleted": (5,)}, "from 1 to 4"),
        ({"deleted": (1, 1)}, "different"),
        ({"swaps": (3,)}, "from 1 to 2"),
        ({"statistics": "batches"}, "Did you mean 'batch'"),
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    network, batch = patient()
    with pytest.raises(ProbeError, match=words):
        paths(network, batch, **settings)


def test_a_network_without_skips_is_refused() -> None:
    with pytest.raises(ProbeError, match="found none in Sequential"):
        paths(nn.Sequential(nn.Linear(3, 3), nn.ReLU()).double(), data())


def test_unlike_blocks_are_not_permuted_and_named() -> None:
    narrow, wide = Block(torch.eye(3).double()), nn.Sequential(Block(torch.eye(3).double()))
    found = paths(nn.Sequential(narrow, wide), data(), loss="mse", draws=1, walks=0)
    assert "permutation_loss_price" not in found.values
    assert any("no other block there is like it" in note for note in found.notes)


def test_a_loss_without_parts_has_errors_over_batches_only() -> None:
    network, (x, y) = linear(2)[0], data(samples=12)
    loss = partial(_cubic)
    one = paths(network, (x, y), loss=loss, walks=0, **PLAIN)
    assert np.isnan(one.values["deletion_loss_price_error"]).all()
    assert np.isfinite(one.values["deletion_loss_price"]).all()
    assert any("errors are those over batches" in note for note in one.notes)
    batches = [(x[i : i + 4], y[i : i + 4]) for i in (0, 4, 8)]
    several = paths(network, batches, loss=loss, walks=0, **PLAIN)
    rises = []
    for inputs, targets in batches:
        without = network[1](inputs)
        rise = _cubic(without, targets) - _cubic(network(inputs), targets)
        rises.append(float(rise.detach()))
    assert several.values["deletion_loss_price"][0] == pytest.approx(np.mean(rises))
    expected = np.std(rises, ddof=1) / np.sqrt(3)
    assert several.values["deletion_loss_price_error"][0] == pytest.approx(expected)


def _cubic(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).abs().pow(3).mean()
