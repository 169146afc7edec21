"""How the gradient divides at a skip, against graphs that are cut by hand.

Source of truth: with x the ancestor, y = h(x) + F(x) and g = dE/dy, the parts are `g dh/dx` and
`g dF/dx` (He et al. 2016, identity mappings, eq. 5), each by `autograd.grad` on a graph that begins at
a copy of x and holds nothing else. All in float64.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.anatomy.adversaries import Written
from tests.probes.recording import inner, record
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import skipnorm as sn
from skipnorm.probes import Flow

WIDTH = 6
DOUBLE = torch.float64
TIGHT = {"rtol": 1e-12, "atol": 1e-13}


def fc(inputs: int = WIDTH, outputs: int = WIDTH) -> nn.Linear:
    return nn.Linear(inputs, outputs)


def flows(network: nn.Module, x: Tensor, covector: Tensor) -> dict[str, Flow]:
    return record(network.double(), (x, covector), loss=inner, flows=True).flows


def vjp(function: Callable[[Tensor], Tensor], x: Tensor, g: Tensor) -> Tensor:
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(function(x), x, g)[0]


def assert_parts(flow: Flow, *, shortcut: Tensor, branch: Tensor, elsewhere: Any = 0.0) -> None:
    torch.testing.assert_close(flow.shortcut, shortcut, **TIGHT)
    torch.testing.assert_close(flow.branch, branch, **TIGHT)
    torch.testing.assert_close(flow.total, shortcut + branch + elsewhere, **TIGHT)


def points() -> tuple[Tensor, Tensor]:
    return torch.randn(4, WIDTH, dtype=DOUBLE), torch.randn(4, WIDTH, dtype=DOUBLE)


# One skip, spelled in many ways: parts and total by hand ------------------------------------------


def out_of_place(net: Any, x: Tensor) -> Tensor:
    return x + net.branch(x)


def in_place(net: Any, x: Tensor) -> Tensor:
    y = net.branch(x)
    y += x
    return y


def as_statement(net: Any, x: Tensor) -> Tensor:
    y = net.branch(x)
    y.add_(x)
    return y


def into_the_shortcut(net: Any, x: Tensor) -> Tensor:
    y = x.clone()
    y += net.branch(x)
    return y


def stacked(net: Any, x: Tensor) -> Tensor:
    return torch.stack([net.branch(x), x], dim=1).sum(1)


def checkpointed(net: Any, x: Tensor, reentrant: bool) -> Tensor:
    return x + checkpoint(net.branch, x, use_reentrant=reentrant)


SPELLINGS = {
    "out of place": out_of_place,
    "in place": in_place,
    "as statement": as_statement,
    "into the shortcut": into_the_shortcut,
    "stacked": stacked,
    "checkpointed": lambda net, x: checkpointed(net, x, False),
    "checkpointed, reentrant": lambda net, x: checkpointed(net, x, True),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=list(SPELLINGS))
def test_identity_skip_in_the_middle(spelling: Callable[..., Tensor]) -> None:
    """With an identity shortcut its part is dE/dy itself, bit for bit."""
    x, covector = points()

    def program(net: Any, x: Tensor) -> Tensor:
        return net.head(torch.tanh(spelling(net, torch.sigmoid(net.stem(x)))))

    branch = nn.Sequential(fc(), nn.ReLU(inplace=True), fc())
    network = Written(program, stem=fc(), branch=branch, head=fc())
    ((_, flow),) = flows(network, x, covector).items()
    ancestor = torch.sigmoid(network.stem(x))
    y = ancestor + network.branch(ancestor)
    g = vjp(lambda y: network.head(torch.tanh(y)), y, covector)
    assert torch.equal(flow.shortcut, g)
    assert_parts(flow, shortcut=g, branch=vjp(network.branch, ancestor, g))


FORMULAS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], Callable[..., Tensor]]] = {
    "scaled by alpha": (
        lambda net, x: torch.add(net.branch(x), x, alpha=0.3),
        lambda net, x: 0.3 * x,
        lambda net, x: net.branch(x),
    ),
    "scaled branch": (
        lambda net, x: torch.add(x, net.branch(x), alpha=-0.3),
        lambda net, x: x,
        lambda net, x: -0.3 * net.branch(x),
    ),
    "scaled by a product": (
        lambda net, x: 0.5 * x + 2 * net.branch(x),
        lambda net, x: 0.5 * x,
        lambda net, x: 2 * net.branch(x),
    ),
    "difference": (
        lambda net, x: x - net.branch(x),
        lambda net, x: x,
        lambda net, x: -net.branch(x),
    ),
    "projection": (
        lambda net, x: net.branch(x) + net.gate(x),
        lambda net, x: net.gate(x),
        lambda net, x: net.branch(x),
    ),
    "highway": (
        lambda net, x: (
            torch.sigmoid(net.gate(x)) * net.branch(x) + (1 - torch.sigmoid(net.gate(x))) * x
        ),
        lambda net, x: (1 - torch.sigmoid(net.gate(x))) * x,
        lambda net, x: torch.sigmoid(net.gate(x)) * net.branch(x),
    ),
    "lerp": (
        lambda net, x: torch.lerp(x, net.branch(x), torch.sigmoid(net.gate(x))),
        lambda net, x: (1 - torch.sigmoid(net.gate(x))) * x,
        lambda net, x: torch.sigmoid(net.gate(x)) * net.branch(x),
    ),
    "lerp by a number": (
        lambda net, x: torch.lerp(x, net.branch(x), 0.25),
        lambda net, x: 0.75 * x,
        lambda net, x: 0.25 * net.branch(x),
    ),
    "lerp in place": (
        lambda net, x: net.branch(x).lerp_(x, 0.25),
        lambda net, x: 0.25 * x,
        lambda net, x: 0.75 * net.branch(x),
    ),
    "addcmul": (
        lambda net, x: torch.addcmul(x, torch.sigmoid(net.gate(x)), net.branch(x), value=0.5),
        lambda net, x: x,
        lambda net, x: 0.5 * torch.sigmoid(net.gate(x)) * net.branch(x),
    ),
    "pooled shortcut": (
        lambda net, x: x.flip(-1) + net.branch(x),
        lambda net, x: x.flip(-1),
        lambda net, x: net.branch(x),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_each_part_is_its_own_vector_jacobian_product(name: str) -> None:
    x, covector = points()
    whole, shortcut, branch = FORMULAS[name]
    network = Written(
        lambda net, x: net.head(torch.tanh(whole(net, torch.sigmoid(net.stem(x))))),
        stem=fc(),
        branch=nn.Sequential(fc(), nn.Tanh(), fc()),
        gate=fc(),
        head=fc(),
    )
    ((_, flow),) = flows(network, x, covector).items()
    a = torch.sigmoid(network.stem(x))
    g = vjp(lambda y: network.head(torch.tanh(y)), whole(network, a), covector)
    assert_parts(
        flow,
        shortcut=vjp(lambda a: shortcut(network, a), a, g),
        branch=vjp(lambda a: branch(network, a), a, g),
    )


def test_concatenation_gives_each_part_its_slot() -> None:
    """d cat(F(x), x)/dx: the branch's slot of g goes through F, the shortcut's arrives as it is."""
    x, _ = points()
    covector = torch.randn(4, 3, dtype=DOUBLE)
    network = Written(
        lambda net, x: net.inner(torch.tanh(net.stem(x))), stem=fc(), inner=with_concat()
    )
    ((_, flow),) = flows(network, x, covector).items()
    a = torch.tanh(network.stem(x))
    joined = torch.cat([network.inner.branch(a), a], 1)
    g = vjp(network.inner.head, joined, covector)
    assert torch.equal(flow.shortcut, g[:, 4:])
    assert_parts(flow, shortcut=g[:, 4:], branch=vjp(network.inner.branch, a, g[:, :4]))


def with_concat() -> Written:
    return Written(
        lambda net, a: net.head(torch.cat([net.branch(a), a], 1)),
        branch=fc(WIDTH, 4),
        head=fc(4 + WIDTH, 3),
    )


# Elsewhere ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recipe",
    [
        sn.Perceptron(residual=True, norm="batch", depth=4, width=8, inputs=8),
        sn.Perceptron(residual=True, order="original", norm="layer", depth=3, width=8, inputs=8),
        sn.Perceptron(residual=True, norm="none", depth=3, width=8, inputs=8, shortcut_scale=0.5),
        sn.ConvNet(residual=True, norm="group", groups=2, depth=3, width=4),
        sn.ConvNet(dims=2, residual=True, norm="batch", depth=3, width=4),
    ],
    ids=str,
)
def test_nothing_comes_from_elsewhere_in_a_resnet(recipe: Any) -> None:
    network = recipe.build(seed=0, dtype=DOUBLE)
    shape = (6, 8) if isinstance(recipe, sn.Perceptron) else (6, 1, 8, 8)[: 2 + recipe.dims]
    x, y = torch.randn(shape, dtype=DOUBLE), torch.randint(10, (6,))
    evidence = sn.measure(network, (x, y), probes="flow")
    skips = evidence.sel(site=evidence.kind == "skip")
    assert len(skips.site) == recipe.depth
    assert float((skips.flow_elsewhere / skips.flow_total).max()) < 1e-24  # squared lengths
    shares = skips.flow_shortcut_share + skips.flow_branch_share + skips.flow_elsewhere_share
    assert float(abs(shares - 1).max()) < 1e-12
    assert float(skips.flow_total.min()) > 0


def unet(net: Any, x: Tensor) -> Tensor:
    """The encoder's features have three consumers: the skip, what lies below, and an auxiliary head."""
    features = torch.tanh(net.encode(x))
    up = torch.sigmoid(net.down(features))
    joined = torch.cat([features, net.up(up)], 1)
    return net.head(joined) + net.auxiliary(features).relu() * 0.5


def test_elsewhere_in_a_unet_is_what_the_third_consumer_sends() -> None:
    x, _ = points()
    covector = torch.randn(4, 3, dtype=DOUBLE)
    parts = {
        "encode": fc(),
        "down": fc(),
        "up": fc(),
        "head": fc(2 * WIDTH, 3),
        "auxiliary": fc(WIDTH, 3),
    }
    network = Written(unet, **parts).double()
    flow = flows(network, x, covector)["cat"]
    f = torch.tanh(network.encode(x))
    below = lambda f: network.up(torch.sigmoid(network.down(f)))  # noqa: E731
    g = vjp(network.head, torch.cat([f, below(f)], 1), covector)
    third = vjp(lambda f: network.auxiliary(f).relu() * 0.5, f, covector)
    assert float(third.square().sum()) > 1e-3
    assert_parts(flow, shortcut=g[:, :WIDTH], branch=vjp(below, f, g[:, WIDTH:]), elsewhere=third)


def test_flow_reports_elsewhere_and_shares_of_a_unet() -> None:
    """`total - shortcut` is not the branch here; the three shares still add up to one."""
    x, _ = points()
    covector = torch.randn(4, 3, dtype=DOUBLE)
    parts = {
        "encode": fc(),
        "down": fc(),
        "up": fc(),
        "head": fc(2 * WIDTH, 3),
        "auxiliary": fc(WIDTH, 3),
    }
    network = Written(unet, **parts).double()
    flow = flows(network, x, covector)["cat"]
    seen = sn.measure(network, (x, covector), loss="inner_product").sel(site="cat")
    rest = flow.total - flow.shortcut - flow.branch
    energy = flow.total.square().sum()
    expected = {
        "flow_total": energy,
        "flow_shortcut": flow.shortcut.square().sum(),
        "flow_branch": flow.branch.square().sum(),
        "flow_elsewhere": rest.square().sum(),
        "flow_shortcut_share": (flow.shortcut * flow.total).sum() / energy,
        "flow_branch_share": (flow.branch * flow.total).sum() / energy,
        "flow_elsewhere_share": (rest * flow.total).sum() / energy,
    }
    for name, number in expected.items():
        assert float(seen[name]) == pytest.approx(float(number), rel=1e-12)
    assert float(seen.flow_elsewhere) > 1e-3
    names = ["flow_shortcut_share", "flow_branch_share", "flow_elsewhere_share"]
    assert sum(float(seen[name]) for name in names) == pytest.approx(1, abs=1e-12)


def test_the_branch_is_all_that_is_no_shortcut() -> None:
    """x + F(x) + G(x), stacked: h is the identity, and He et al.'s F is F + G."""
    x, covector = points()
    network = Written(
        lambda net, a: torch.stack([a, net.f(a), net.g(a)]).sum(0),
        f=fc(),
        g=nn.Sequential(fc(), nn.Tanh(), fc()),
    )
    outer = Written(lambda net, x: net.inner(torch.tanh(x)), inner=network)
    ((_, flow),) = flows(outer, x, covector).items()
    a = torch.tanh(x)
    assert_parts(
        flow,
        shortcut=covector,
        branch=vjp(network.f, a, covector) + vjp(network.g, a, covector),
    )


# Skips within and across skips --------------------------------------------------------------------


def test_a_long_skip_over_short_ones() -> None:
    """y = x + B2(B1(x)) with residual blocks inside: super-resolution nets have this form."""
    x, covector = points()

    def block(layer: nn.Module, x: Tensor) -> Tensor:
        return x + torch.tanh(layer(x))

    network = Written(
        lambda net, x: net.inner(torch.sigmoid(x)),
        inner=Written(
            lambda net, a: a + net.last(block(net.second, block(net.first, a))),
            first=fc(),
            second=fc(),
            last=fc(),
        ),
    )
    found = flows(network, x, covector)
    parts = network.inner
    a = torch.sigmoid(x)
    b = block(parts.first, a)
    c = block(parts.second, b)
    gc = vjp(parts.last, c, covector)
    gb = vjp(lambda b: block(parts.second, b), b, gc)
    long = vjp(lambda a: block(parts.first, a), a, gb)
    by_index = [found[name] for name in ("inner.add", "inner.add#2", "inner.add#3")]
    branches = [
        vjp(lambda a: torch.tanh(parts.first(a)), a, gb),
        vjp(lambda b: torch.tanh(parts.second(b)), b, gc),
        long,
    ]
    assert_parts(by_index[0], shortcut=gb, branch=branches[0], elsewhere=covector)
    assert_parts(by_index[1], shortcut=gc, branch=branches[1])
    assert_parts(by_index[2], shortcut=covector, branch=branches[2])


def test_crossing_skips() -> None:
    """c = a + F(b), d = b + G(c) with b = H(a): neither skip lies within the other."""
    x, covector = points()
    network = Written(
        lambda net, x: net.inner(torch.sigmoid(x)),
        inner=Written(crossing, h=fc(), f=fc(), g=fc()),
    )
    found = flows(network, x, covector)
    parts = network.inner
    a = torch.sigmoid(x)
    b = torch.tanh(parts.h(a))
    c = a + parts.f(b)
    gc = vjp(parts.g, c, covector)
    of_c = vjp(lambda a: parts.f(torch.tanh(parts.h(a))), a, gc)
    past_c = vjp(lambda a: torch.tanh(parts.h(a)), a, covector)
    assert_parts(found["inner.add"], shortcut=gc, branch=of_c, elsewhere=past_c)


def crossing(net: Any, a: Tensor) -> Tensor:
    b = torch.tanh(net.h(a))
    c = a + net.f(b)
    return b + net.g(c)


def test_measuring_the_flow_does_not_change_what_the_gradient_is() -> None:
    """What passes for a part's sake must not be taken for the gradient of a site inside the branch."""

    def program(net: Any, x: Tensor) -> Tensor:
        inside = torch.tanh(net.up(x))  # the only signal of its shape; used in the branch and later
        y = x + net.down(inside)
        return net.head(y) + net.late(torch.sigmoid(net.narrow(inside)))

    network = Written(
        program,
        up=fc(WIDTH, 9),
        down=fc(9, WIDTH),
        head=fc(WIDTH, 3),
        narrow=fc(9, 2),
        late=fc(2, 3),
    ).double()
    x, covector = torch.randn(4, WIDTH, dtype=DOUBLE), torch.randn(4, 3, dtype=DOUBLE)
    alone = sn.measure(network, (x, covector), loss="inner_product", probes="gradient")
    both = sn.measure(network, (x, covector), loss="inner_product", probes=["gradient", "flow"])
    for name in ("gradient_mean_square", "gradient_cosine", "gradient_growth"):
        torch.testing.assert_close(
            torch.tensor(both[name].values), torch.tensor(alone[name].values), equal_nan=True
        )
    assert float(both.gradient_cosine.sel(site="tanh", port="output")) == pytest.approx(1)


class Counted(torch.autograd.Function):
    """The identity, which counts how often a gradient comes back through it."""

    passes = 0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        Counted.passes += 1
        return gradient


@pytest.mark.parametrize("depth", [4, 12])
def test_dense_connections_cost_no_more_than_they_are(depth: int) -> None:
    """12 layers that each see all earlier ones, as half a block of DenseNet-121.

    The declared cost is one backward, and one more through each branch: so the first layer sees at most
    one gradient a skip and the ordinary one. A cost that doubles with each layer would take hours.
    """

    def dense(net: Any, x: Tensor) -> Tensor:
        features = [x, Counted.apply(torch.tanh(net.first(x)))]
        for layer in net.layers:
            features.append(torch.tanh(layer(torch.cat(features, 1))))
        return torch.cat(features, 1)

    layers = nn.ModuleList(fc(WIDTH + 2 + 2 * each, 2) for each in range(depth))
    network = Written(dense, first=fc(WIDTH, 2), layers=layers)
    batch = (torch.randn(4, WIDTH), torch.randn(4, WIDTH + 2 + 2 * depth))
    Counted.passes = 0
    evidence = sn.measure(network, batch, loss="inner_product", probes="flow")
    assert Counted.passes <= 1 + int((evidence.kind == "skip").sum())


# He et al. 2016 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.5, 0.9, 1.1])
def test_the_direct_term_of_scaled_shortcuts_is_lambda_to_the_depth(scale: float) -> None:
    """He et al. 2016, eq. 8: with h = lambda x the direct term of dE/dx_0 is lambda^L dE/dx_L.

    At branches that return nothing, nothing else is left; at live ones each skip passes on lambda.
    """
    depth = 10
    recipe = sn.Perceptron(
        residual=True, norm="none", depth=depth, width=8, inputs=8, shortcut_scale=scale, stem=False
    )
    x, y = torch.randn(5, 8, dtype=DOUBLE), torch.randint(10, (5,))
    live = recipe.build(seed=0, dtype=DOUBLE)
    still = recipe.build(seed=0, dtype=DOUBLE)
    for block in still.blocks:
        nn.init.zeros_(block.weight.weight)
        nn.init.zeros_(block.weight.bias)
    for network, dead in ((live, False), (still, True)):
        seen = sn.measure(network, (x, y))
        skips = seen.sel(site=seen.kind == "skip")
        arriving = skips.gradient_mean_square.sel(port="output").values * 5 * 8
        assert skips.flow_shortcut.values == pytest.approx(scale**2 * arriving, rel=1e-10)
        if dead:
            assert float(skips.flow_total[0]) == pytest.approx(
                scale ** (2 * depth) * arriving[-1], rel=1e-10
            )
            assert skips.flow_shortcut_share.values == pytest.approx(1)
            assert skips.flow_branch.values == pytest.approx(0)


def test_the_gradient_at_depth_is_the_sum_over_blocks() -> None:
    """Eq. 5: dE/dx_0 = dE/dx_L (1 + d/dx_0 sum F): totals telescope, block by block."""
    recipe = sn.Perceptron(residual=True, norm="layer", depth=5, width=8, inputs=8, stem=False)
    network = recipe.build(seed=0, dtype=DOUBLE)
    x, y = torch.randn(5, 8, dtype=DOUBLE), torch.randint(10, (5,))
    found = record(network, (x, y), flows=True)
    skips = [site.name for site in found.anatomy.skips]
    root = x.clone().requires_grad_()
    (at_input,) = torch.autograd.grad(F.cross_entropy(network(root), y), root)
    branches = sum(found.flows[name].branch for name in skips)
    direct = found.gradients[f"{skips[-1]}:output"]
    torch.testing.assert_close(direct + branches, at_input, **TIGHT)
