"""The inquiry `degradation` through the real pipeline, small; its readings by hand; its claims either way.

Truth: plain autograd and plain training loops on the same networks, closed forms, and evidence made up for and
against every claim.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.inquiries.made_up import put, puts, shaped_like

from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.degradation.effects import gradient_sizes
from skipnorm.inquiries.degradation.networks import Deepened, Itself, as_identity, relative_error
from skipnorm.inquiries.degradation.readings import EXTRA, gradient_by_block, with_identities
from skipnorm.inquiries.degradation.study import DEEP, FULL, QUICK, SHALLOW, study_of
from skipnorm.inquiries.subjects import TASK, learner, taught, teaching
from skipnorm.networks.recipe import Perceptron
from skipnorm.report import Section, write_page
from skipnorm.studies.plan import plan
from skipnorm.studies.run import run
from skipnorm.verdicts import judge

INQUIRY = load("degradation")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
TINY = replace(
    QUICK,
    seeds=1,
    rates=(0.01,),
    identity_rates=(0.01,),
    fields={"width": 6},
    training={"steps": 2},
)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    return run(study_of(TINY), tmp_path_factory.mktemp("degradation"), progress="off")


@pytest.fixture
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_the_whole_pipeline_from_study_to_page(evidence, tmp_path):
    verdicts = [judge(claim, evidence) for claim in INQUIRY.claims]
    ruled = {v.claim.name: v.ruling for v in verdicts if v.ruling != "undecided"}
    # One seed decides nothing; blocks that are the identity change no network, however small.
    assert ruled == {"a-solution-exists": "supported"}
    figures = {name: draw(evidence) for name, draw in INQUIRY.figures.items()}
    section = Section(
        INQUIRY.name, INQUIRY.question, INQUIRY.method, "", verdicts, figures, INQUIRY.captions
    )
    assert write_page(tmp_path / "report.html", INQUIRY.question, [section]).is_file()


def test_the_catalogue_asks_what_the_inquiry_asks():
    (entry,) = [entry for entry in CATALOGUE if entry.name == "degradation"]
    assert entry.question == INQUIRY.question


def test_what_other_inquiries_train_too_is_trained_once():
    """A learner has the training key that the shared subjects give it, at each of its rates."""
    quick = study_of(QUICK)
    shared = taught(learner("residual BN", DEEP), "quick", rates=QUICK.rates)
    theirs = plan(replace(quick, variants={"theirs": shared}))
    keys = {trial.training_key for trial in plan(quick) if trial.name == "residual BN, 32"}
    assert keys == {trial.training_key for trial in theirs}


@pytest.mark.parametrize("size", [QUICK, FULL])
def test_every_family_is_there_deep_and_shallow_where_it_is_compared(size):
    names = set(study_of(size).variants)
    assert {f"{family}, {DEEP}" for family in size.depths} <= names
    compared = ("plain", "plain BN", "plain LN", "residual BN")
    assert {f"{family}, {SHALLOW}" for family in compared} <= names


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("family", ["plain", "plain BN", "residual", "residual BN", "ReZero"])
def test_identities_leave_the_output_as_it_is_and_other_blocks_do_not(family):
    network = learner(family, 3, width=8).build(seed=0)
    inputs, targets = TASK.batch(32, seed=0)
    network(inputs)  # running statistics that are no longer 0 and 1
    found = with_identities(network, (inputs.double(), targets))
    assert len(network.blocks) == 3 + EXTRA
    assert float(found["identity_change"]) < 1e-12
    before = network.eval()(inputs)
    with torch.no_grad():
        for weight in network.blocks[-1].parameters():
            weight.add_(0.1)
    assert float((network(inputs) - before).detach().abs().max()) > 1e-3


@pytest.mark.usefixtures("double")
def test_a_plain_block_with_layer_norm_is_not_the_identity():
    block = as_identity(learner("plain LN", 1, width=8).build(seed=0).blocks[0])
    inputs = torch.rand(5, 8)
    assert float((block(inputs) - inputs).detach().abs().max()) > 0.1


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("family", ["plain", "plain BN", "residual BN"])
def test_the_gradient_behind_a_block_is_that_of_the_loss_when_something_is_added_there(family):
    """By central differences of the loss along each unit of one sample, at the second block."""
    network = learner(family, 3, width=5).build(seed=1).train()
    with torch.no_grad():  # away from the kink at 0
        for each in network.parameters():
            each.add_(0.1 * torch.randn(each.shape, generator=torch.Generator().manual_seed(1)))
    inputs, targets = TASK.batch(12, seed=1)
    found = gradient_by_block(network, (inputs.double(), targets))
    assert found["block"].values.tolist() == [1, 2, 3]
    with torch.no_grad():
        behind = network.blocks[1](network.blocks[0](network.stem(inputs.double())))

        def loss(signal):
            out = network.head(network.blocks[2](signal))
            return float(torch.nn.functional.cross_entropy(out, targets))

        step, slopes = 1e-6, []
        for sample in range(12):
            for unit in range(5):
                apart = torch.zeros_like(behind)
                apart[sample, unit] = step
                slopes.append((loss(behind + apart) - loss(behind - apart)) / (2 * step))
    expected = np.sqrt(np.mean(np.square(slopes)))
    assert float(found["block_gradient"].sel(block=2)) == pytest.approx(expected, rel=1e-4)


def test_a_network_made_deeper_answers_as_the_shallow_one_taught_by_a_plain_loop():
    shallow = learner("plain", 2, width=8)
    training = teaching("quick", steps=3, rate=0.05)
    deep = Deepened(shallow, 4, "identity", training).build(seed=2)
    from skipnorm.training.batches import batches_of

    network = shallow.build(seed=2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    batches = batches_of(TASK, 128, 2, "cpu")
    for step in range(3):
        inputs, targets = batches(step)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    inputs, _ = TASK.batch(16, seed=0)
    torch.testing.assert_close(deep(inputs), network(inputs), rtol=1e-5, atol=1e-6)
    assert len(deep.blocks) == 6


def test_random_extra_blocks_are_those_of_the_deep_recipe():
    shallow = learner("plain", 2, width=8)
    deep = Deepened(shallow, 4, "random").build(seed=2).state_dict()
    whole = replace(shallow, depth=6).build(seed=2).state_dict()
    for name in whole:
        if name.startswith("blocks"):
            assert torch.equal(deep[name], whole[name]), name


def test_what_is_to_be_handed_on_is_gaussian_and_no_plain_layer_keeps_its_negatives():
    inputs, targets = Itself(rectified=False).batch(4000, seed=0)
    assert torch.equal(inputs, targets)
    assert float(inputs.std()) == pytest.approx(1, abs=0.01)
    # the best that is not negative: relu(x), which leaves E min(x, 0)^2 = 1/2
    assert float(relative_error(inputs.relu(), targets)) == pytest.approx(0.5, abs=0.01)
    assert float(relative_error(torch.zeros_like(inputs), targets)) == 1.0
    layer = as_identity(Perceptron(depth=1, stem=False, head=False).build(seed=0).blocks[0])
    signal, same = Itself().batch(50, seed=1)
    assert float(relative_error(layer(signal), same).detach()) == 0.0
    assert not torch.equal(Itself().full("train")[0], Itself().full("validation")[0])


LOSSES = {  # training loss, test loss, test accuracy
    "plain, 4": (0.001, 0.1, 0.97),
    "plain, 32": (1.5, 1.6, 0.5),
    "plain BN, 4": (0.001, 0.1, 0.97),
    "plain BN, 32": (1.0, 1.1, 0.6),
    "plain LN, 4": (0.001, 0.1, 0.97),
    "plain LN, 32": (1.8, 1.8, 0.2),
    "residual, 4": (0.001, 0.1, 0.97),
    "residual, 32": (5.0, 5.0, 0.1),
    "residual BN, 4": (0.001, 0.1, 0.97),
    "residual BN, 32": (0.001, 0.1, 0.97),
    "SkipInit, 32": (0.001, 0.1, 0.97),
    "ReZero, 32": (0.001, 0.1, 0.97),
    "Fixup, 32": (0.001, 0.1, 0.97),
    "looks linear, 32": (0.001, 0.1, 0.97),
    "identity, trained on": (0.0001, 0.1, 0.97),
    "random, trained on": (2.3, 2.3, 0.1),
    "identity, from scratch": (0.002, 0.1, 0.97),
    "plain layer learns": (0.3, 0.3, 0.5),
    "plain block learns": (0.3, 0.3, 0.5),
    "residual layer learns": (1e-4, 1e-4, 0.5),
    "residual block learns": (1e-4, 1e-4, 0.5),
    "plain layer learns, signed": (0.5, 0.5, 0.5),
}
GROWING = 1.21 ** np.arange(DEEP - 1, -1, -1.0)


def training(value, *variants):
    return puts({(variant, "training_loss"): value for variant in variants}, step=2)


def gradients(values, **where):
    return lambda found: put(found, "block_gradient", values, variant="plain BN, 32", **where)


@pytest.fixture(scope="module")
def world(evidence):
    """What He et al., Yang et al. and the inventors of near-identity starts say, without noise to speak of."""
    made = shaped_like(evidence)
    for variant, (trained, tested, accuracy) in LOSSES.items():
        scores = {"training_loss": trained, "validation_loss": tested, "test_loss": tested}
        for score, value in {**scores, "test_accuracy": accuracy}.items():
            made = put(made, score, value, variant=variant)
    for variant in ("identity, trained on", "random, trained on"):
        made = put(made, "training_loss", 0.001, variant=variant, step=0)
    for variant in ("plain, 4", "plain BN, 4", "residual, 4", "residual BN, 4"):
        made = put(made, "identity_change", 1e-8, variant=variant)
    made = put(made, "block_gradient", GROWING[None], variant="plain BN, 32", step=0)
    return put(made, "block_gradient", 1.0, variant="plain BN, 32", step=2)


def test_the_made_up_world_has_every_variant(world):
    assert set(LOSSES) == set(world["variant"].values.tolist())
    assert gradient_sizes(world, "plain BN").sizes["block"] == DEEP


SUPPORTING = {  # what the world contradicts: one in which it would hold
    "gradients-are-healthy": gradients(1.0),
    "skips-cure": training(0.001, "residual, 32"),
    "norms-cure": training(0.01, "plain BN, 32", "plain LN, 32"),
    "plain-learns-identity": puts(
        {("plain layer learns", "test_loss"): 0.01, ("plain block learns", "test_loss"): 0.01}
    ),
}
REFUTING = {
    "deeper-tests-worse": puts({("plain BN, 32", "test_accuracy"): 0.95}),
    "deeper-trains-worse": training(0.005, "plain LN, 32"),
    "not-overfitting": training(0.5, "plain, 32"),
    "gradients-are-healthy": lambda found: found,
    "batch-norm-explodes-gradients": gradients(1.0),
    "skips-cure": lambda found: found,
    "norms-cure": lambda found: found,
    "residual-bn-is-flat": training(0.01, "residual BN, 32"),
    "skips-alone-fail": training(0.1, "residual, 32"),
    "near-identity-suffices": training(0.05, "ReZero, 32"),
    "looks-linear-suffices": training(0.05, "looks linear, 32"),
    "a-solution-exists": puts({("plain, 4", "identity_change"): 2e-6}),
    "handed-identity-holds": training(0.002, "identity, trained on"),
    "random-extra-blocks-fail": training(0.01, "random, trained on"),
    "identity-start-does-not-degrade": training(0.01, "identity, from scratch"),
    "identity-start-helps": training(0.3, "identity, from scratch"),
    "residual-learns-identity": puts({("residual block learns", "test_loss"): 0.1}),
    "plain-learns-identity": lambda found: found,
    "no-identity-of-negatives": puts({("plain layer learns, signed", "test_loss"): 0.4}),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_supported_where_it_holds(name, world):
    change = SUPPORTING.get(name, lambda found: found)
    verdict = judge(CLAIMS[name], change(world.copy(deep=True)))
    assert verdict.ruling == "supported", verdict.reason


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_refuted_where_it_does_not(name, world):
    verdict = judge(CLAIMS[name], REFUTING[name](world.copy(deep=True)))
    assert verdict.ruling == "refuted", verdict.reason


def test_a_residual_network_that_diverges_at_every_rate_counts_as_one_that_fails(world):
    lost = world.copy(deep=True)
    for score in ("training_loss", "validation_loss", "test_loss"):
        lost = put(lost, score, np.nan, variant="residual, 32")
    assert judge(CLAIMS["skips-alone-fail"], lost).ruling == "supported"
    assert judge(CLAIMS["skips-cure"], lost).ruling == "refuted"


@pytest.mark.parametrize("name", INQUIRY.figures)
def test_every_figure_draws_what_was_measured(name, world):
    figure = INQUIRY.figures[name](world)
    roles = {(trace.meta or {}).get("role") for trace in figure.data}
    assert roles >= ({"measured", "theory"} if name == "gradients" else {"measured"})
