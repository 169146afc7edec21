"""The inquiry `shift`: every claim can come out either way, and its readings are what their definitions say.

Truth: networks written out by hand, the verb `sn.drift`, `torch.func`, and closed forms.
"""

import numpy as np
import pytest
import torch
from tests.inquiries.made_up import put, puts, shaped_like

import skipnorm as sn
from skipnorm.errors import TaskError
from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.shift.effects import drift, path
from skipnorm.inquiries.shift.figures import noise_alone
from skipnorm.inquiries.shift.networks import Noised
from skipnorm.inquiries.shift.readings import gradients, inputs, next_step, output_means
from skipnorm.inquiries.shift.study import Size, rate_of, study_of
from skipnorm.inquiries.shift.tasks import LinearMap, summed_squares
from skipnorm.networks.recipe import Perceptron
from skipnorm.verdicts import judge

INQUIRY = load("shift")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
TINY = Size(seeds=range(1), steps=8, sigmoid_steps=8, linear_steps=8, linear_samples=16, depth=4)
EXACT = {"nothing-shifts-the-first", "linear-mean-is-held"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return sn.run(study_of(TINY), tmp_path_factory.mktemp("shift") / "study", progress="off")


@pytest.fixture(scope="module")
def made(tiny):
    return world(tiny)


@pytest.fixture
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def drifting(amount):
    """Percentiles that go by this share of half their spread from reading to reading."""

    def change(evidence, variant):
        steps = evidence.sizes["step"]
        moved = amount * np.arange(steps)[:, None, None, None] + np.array([-1.0, 0.0, 1.0])
        whole = np.broadcast_to(moved, (steps, 3, 8, 3))
        return put(evidence, "percentile", whole, variant=variant, rate=rate_of(variant))

    return change


def world(tiny):
    """Evidence as the papers have it: norms change distributions little, and shift does not matter."""
    evidence = shaped_like(tiny)
    for variant in ("sigmoid", "plain, rate 0.1", "sigmoid BN", "BN, rate 0.1"):
        evidence = drifting(0.1)(evidence, variant)
    near = {
        (f"{name}, rate {rate}", quantity): value
        for rate in (0.03, 0.1)
        for (name, quantity), value in {
            ("plain", "step_mean"): 0.01,
            ("BN", "step_mean"): 0.002,
            ("plain", "gradient_shift_relative"): 0.5,
            ("BN", "gradient_shift_relative"): 0.6,
            ("plain", "output_shift"): 0.1,
            ("BN", "output_shift"): 0.001,
            ("BN", "output_shift_frozen"): 0.1,
        }.items()
    }
    near["noisy BN, rate 0.1", "step_mean"] = 0.3
    losses = {"plain": 0.3, "BN": 0.1, "noisy BN": 0.15, "noise, no BN": 2.0, "linear": 9.0}
    return puts(
        {
            **near,
            **{(name, "loss_curve"): loss for name, loss in losses.items()},
            ("linear BN", "loss_curve"): 4.0,
            ("linear", "gradient_shift_cosine"): 0.9995,
            ("linear BN", "gradient_shift_cosine"): -0.3,
        }
    )(evidence)


def each(quantity, value, *variants):
    return puts({(variant, quantity): value for variant in variants})


def both(amount):
    def change(evidence):
        return drifting(amount)(drifting(amount)(evidence, "sigmoid BN"), "BN, rate 0.1")

    return change


def untouched(evidence):
    return evidence


def diverged(evidence):
    for name, value in (("loss_curve", np.nan), ("training_loss", np.nan), ("diverged_at", 3.0)):
        evidence = put(evidence, name, value, variant="noise, no BN", rate=0.3)
    return evidence


NORMED = ("BN, rate 0.03", "BN, rate 0.1")
SUPPORTING = {
    "steadier-distributions": both(0.01),
    "gradients-shift-less": each("gradient_shift_relative", 0.1, *NORMED),
    "shift-is-harmful": each("loss_curve", 0.4, "noisy BN"),
    "noise-needs-a-norm-at-large-rates": diverged,
}
REFUTING = {
    "steadier-distributions": untouched,
    "steadiness-is-marginal": both(0.01),
    "an-update-moves-means-less": each("step_mean", 0.02, *NORMED),
    "gradients-shift-no-less": each("gradient_shift_relative", 0.1, *NORMED),
    "gradients-shift-less": untouched,
    "linear-keeps-its-gradients": each("gradient_shift_cosine", 0.9, "linear"),
    "linear-norm-loses-its-gradients": each("gradient_shift_cosine", 0.9, "linear BN"),
    "linear-norm-learns-faster": each("loss_curve", 9.0, "linear BN"),
    "nothing-shifts-the-first": lambda e: put(e, "gradient_shift", 1e-6, variant="linear", layer=1),
    "noise-brings-shift": each("step_mean", 0.02, "noisy BN, rate 0.1"),
    "shift-does-not-matter": each("loss_curve", 0.5, "noisy BN"),
    "noise-hardly-matters": each("loss_curve", 0.5, "noisy BN"),
    "shift-is-harmful": each("loss_curve", 0.1, "noisy BN"),
    "noise-needs-a-norm": each("loss_curve", 0.2, "noise, no BN"),
    "noise-needs-a-norm-at-large-rates": each("loss_curve", 0.2, "noise, no BN"),
    "norm-holds-the-output": each("output_shift", 0.05, "BN, rate 0.1"),
    "norm-holds-more-than-none": each("output_shift", 0.09, "BN, rate 0.1"),
    "linear-mean-is-held": each("output_shift", 1e-6, "linear BN"),
}


def test_the_whole_pipeline_runs_and_one_seed_decides_nothing(tiny):
    verdicts = {name: judge(claim, tiny) for name, claim in CLAIMS.items()}
    ruled = {name for name, verdict in verdicts.items() if verdict.ruling != "undecided"}
    assert ruled == EXACT
    assert all(verdicts[name].ruling == "supported" for name in EXACT)
    assert tiny.nbytes < 5e6


@pytest.mark.parametrize("name", INQUIRY.figures)
def test_every_figure_draws_real_evidence(tiny, name):
    roles = {(trace.meta or {}).get("role") for trace in INQUIRY.figures[name](tiny).data}
    assert "measured" in roles or "seeds" in roles


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_supported_where_it_holds(made, name):
    verdict = judge(CLAIMS[name], SUPPORTING.get(name, untouched)(made))
    assert verdict.ruling == "supported", verdict.reason


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_refuted_where_it_does_not(made, name):
    verdict = judge(CLAIMS[name], REFUTING[name](made))
    assert verdict.ruling == "refuted", verdict.reason


def test_the_catalogue_asks_what_the_inquiry_asks():
    (entry,) = [entry for entry in CATALOGUE if entry.name == "shift"]
    assert entry.question == INQUIRY.question
    assert set(REFUTING) == set(CLAIMS)


def test_what_was_read_before_a_divergence_is_no_mean_over_training(made):
    found = made["percentile"].copy()
    found.loc[{"variant": "plain, rate 0.1", "seed": 0, "step": made["step"].values[-1]}] = np.nan
    moved = drift(made.assign(percentile=found), "plain, rate 0.1")
    assert np.isnan(moved.sel(seed=0).item())
    assert np.isfinite(moved.sel(seed=1).item())


def test_the_path_of_percentiles_is_how_far_they_go_over_half_their_spread(tiny):
    evidence = drifting(0.25)(shaped_like(tiny), "sigmoid")
    found = path(evidence["percentile"].sel(variant="sigmoid", rate=1.0).isel(seed=0))
    np.testing.assert_allclose(found, 0.25, rtol=1e-9)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_shift_of_gradients_is_that_of_networks_whose_lower_layers_were_replaced(norm):
    network = Perceptron(stem=False, inputs=6, width=6, depth=3, outputs=4, norm=norm).build(0)
    batch = torch.randn(20, 6), torch.randint(0, 4, (20,))

    def slopes(parameters):
        roots = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        outputs = torch.func.functional_call(network, roots, (batch[0],))
        loss = torch.nn.functional.cross_entropy(outputs, batch[1])
        return dict(zip(roots, torch.autograd.grad(loss, list(roots.values())), strict=True))

    here = {name: value.detach() for name, value in network.named_parameters()}
    first = slopes(here)
    there = {name: value - 0.2 * first[name] for name, value in here.items()}
    found = gradients(network, batch, "cross_entropy", step=0.2)
    assert found["layer"].values.tolist() == [1, 2, 3, 4]
    for layer, prefix in enumerate(("blocks.0", "blocks.1", "blocks.2", "head"), start=1):
        below = [name for name in here if name < f"{prefix}.weight" and prefix not in name]
        mixed = here | {name: there[name] for name in below if not name.startswith("head")}
        names = [f"{prefix}.weight.{kind}" for kind in ("weight", "bias")]
        g, shifted = (
            torch.cat([side[name].flatten() for name in names]) for side in (first, slopes(mixed))
        )
        at = found.sel(layer=layer)
        expected = float((g - shifted).norm() / g.norm())
        assert float(at["gradient_shift_relative"]) == pytest.approx(expected, rel=1e-9, abs=1e-14)
        cosine = float(torch.dot(g, shifted) / g.norm() / shifted.norm())
        assert float(at["gradient_shift_cosine"]) == pytest.approx(cosine, rel=1e-9)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_one_update_moves_moments_as_the_verb_drift_says(norm):
    recipe = Perceptron(stem=False, inputs=6, width=6, depth=3, outputs=4, norm=norm)
    network, moved = recipe.build(0).train(), recipe.build(0).train()
    batch = torch.randn(30, 6), torch.randint(0, 4, (30,))
    found = next_step(network, batch, "cross_entropy", step=0.5)
    optimizer = torch.optim.SGD(moved.parameters(), lr=0.5)
    torch.nn.functional.cross_entropy(moved(batch[0]), batch[1]).backward()
    optimizer.step()
    seen = sn.drift(network, batch, states=(network, moved), statistics="batch")
    for place, block in (("first", 0), ("middle", 1), ("last", 2)):
        here = seen.isel(site=np.flatnonzero(seen["module"].values == f"blocks.{block}.act"))
        here = here.squeeze("site").sel(port="input")
        first, then = (here[["unit_mean", "unit_variance"]].isel(step=at) for at in (0, 1))
        apart = np.abs(then["unit_mean"] - first["unit_mean"]) / np.sqrt(first["unit_variance"])
        share = np.abs(then["unit_variance"] / first["unit_variance"] - 1)
        assert float(found["step_mean"].sel(block=place)) == pytest.approx(float(apart.mean()))
        assert float(found["step_variance"].sel(block=place)) == pytest.approx(float(share.mean()))


@pytest.mark.usefixtures("double")
def test_percentiles_are_those_of_what_enters_the_activations():
    network = Perceptron(stem=False, inputs=5, width=5, depth=2, outputs=3).build(1)
    x = torch.randn(50, 5)
    found = inputs(network, (x, None))["percentile"]
    with torch.no_grad():
        entered = x @ network.blocks[0].weight.weight.T
        behind = entered.relu() @ network.blocks[1].weight.weight.T
    for place, values in (("first", entered), ("last", behind)):
        expected = np.quantile(values.numpy(), (0.15, 0.5, 0.85), axis=0).T
        np.testing.assert_allclose(found.sel(block=place), expected, rtol=1e-9)


@pytest.mark.usefixtures("double")
def test_moves_of_the_mean_outputs_are_those_of_the_jacobian():
    network = Perceptron(inputs=6, width=6, depth=3, outputs=4, norm="batch").build(0)
    x = torch.randn(40, 6) + 0.5
    for block in network.blocks:
        torch.nn.init.normal_(block.norm.bias)
    found = output_means(network, (x, None))
    network.train()
    static = sn.operate(network, sn.SwapNorm(to="static"), inputs=x)
    for name, subject in (("output_shift", network), ("output_shift_frozen", static)):
        weights = {k: v.detach() for k, v in subject.named_parameters() if v.dim() == 2}

        def means(some, subject=subject):
            return torch.func.functional_call(subject, some, (x,)).mean(dim=0)

        slopes = torch.autograd.functional.jacobian(
            lambda *given: means(dict(zip(weights, given, strict=True))),  # noqa: B023
            tuple(weights.values()),
        )
        spread = float(subject(x).detach().var(dim=0, correction=0).sum())
        expected = [
            float(weight.square().mean() * slope.square().sum()) / spread
            for weight, slope in zip(weights.values(), slopes, strict=True)
        ]
        np.testing.assert_allclose(found[name], expected, rtol=1e-8)
    assert float(found["output_shift"][0]) < float(found["output_shift_frozen"][0])


def test_a_linear_network_with_norm_holds_its_mean_and_a_plain_one_does_not():
    batch = LinearMap(samples=64).full("train")
    recipe = {"stem": False, "inputs": 10, "width": 10, "depth": 3, "activation": "identity"}
    normed, plain = (
        output_means(Perceptron(**recipe, outputs=10, norm=norm).build(0), batch)["output_shift"]
        for norm in ("batch", "none")
    )
    assert float(normed[:-1].max()) < 1e-20 < 1e-6 < float(plain[:-1].min())


def test_noise_stands_where_the_operation_would_put_it():
    normed = Perceptron(inputs=6, width=6, depth=2, norm="batch")
    x = torch.randn(30, 6)
    ours = Noised(normed).build(3).train()
    theirs = sn.operate(normed.build(3), sn.NoisyNorm(), inputs=x).train()
    outputs = []
    for network in (ours, theirs):
        torch.manual_seed(0)
        outputs.append(network(x))
    assert torch.equal(*outputs)
    assert not torch.equal(ours(x), outputs[0])
    assert torch.equal(ours.eval()(x), ours(x))
    bare = Noised(Perceptron(inputs=6, width=6, depth=2)).build(3)
    assert not torch.equal(bare.train()(x), bare(x))
    assert torch.equal(bare.eval()(x), Perceptron(inputs=6, width=6, depth=2).build(3)(x))


def test_noise_alone_moves_means_as_derived():
    network = Noised(Perceptron(stem=False, width=64, depth=3, norm="batch")).build(0)
    batch = torch.randn(500, 64), torch.randint(0, 10, (500,))
    found = next_step(network, batch, "cross_entropy", step=1e-9)["step_mean"]
    spread = 0.236 / 8  # of |m - m'|, over 64 units
    np.testing.assert_allclose(found, noise_alone(), atol=4 * spread)


def test_a_network_that_is_read_is_left_as_it_was():
    network = Noised(Perceptron(stem=False, width=8, inputs=8, depth=3, norm="batch")).build(0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batch = torch.randn(20, 8), torch.randint(0, 10, (20,))
    state = torch.get_rng_state()
    inputs(network, batch)
    next_step(network, batch, "cross_entropy", step=0.1)
    output_means(network, batch)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(len(block.act._forward_pre_hooks) == 0 for block in network.blocks)


def test_the_linear_map_is_linear_and_its_loss_a_sum():
    inputs_, targets = LinearMap(size=4, samples=30).full("train")
    found = torch.linalg.lstsq(inputs_.double(), targets.double())
    np.testing.assert_allclose(inputs_.double() @ found.solution, targets, atol=1e-5)
    assert float(summed_squares(torch.ones(2, 3), torch.zeros(2, 3))) == 6.0
    with pytest.raises(TaskError, match="validation"):
        LinearMap().full("validation")
