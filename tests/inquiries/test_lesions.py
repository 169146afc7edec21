"""The inquiry `lesions`: through the real pipeline, small; its readings against surgery; claims both ways.

Truth: `sn.operate` on the same networks, hand counts, and evidence made up so that a claim holds or does not.
"""

import numpy as np
import pytest
import torch
from tests.inquiries.made_up import put, puts, shaped_like

from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.lesions import effects
from skipnorm.inquiries.lesions.readings import DRAWS, numbers, of_plain, of_residual, pairs
from skipnorm.inquiries.lesions.study import FULL, QUICK, RATE, RESIDUAL, Size, study, study_of
from skipnorm.inquiries.subjects import RATES, SEEDS, TASK, learner, taught
from skipnorm.studies.plan import plan
from skipnorm.studies.run import run
from skipnorm.studies.study import Study
from skipnorm.surgery import CutSkips, DropBranches, PermuteBlocks, operate
from skipnorm.verdicts import judge

INQUIRY = load("lesions")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
TINY = Size(seeds=2, teaching="quick", depth=8, draws=3, walks=1)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    return run(study_of(TINY), tmp_path_factory.mktemp("lesions"), progress="off")


def test_the_whole_pipeline(evidence):
    for claim in INQUIRY.claims:
        verdict = judge(claim, evidence)
        assert verdict.ruling == "undecided"  # two seeds decide nothing
        assert not np.isnan([case["effect"] for case in verdict.cases]).any(), claim.name
    for name, draw in INQUIRY.figures.items():
        assert draw(evidence).data, name


def test_the_catalogue_asks_what_the_inquiry_asks():
    (entry,) = [entry for entry in CATALOGUE if entry.name == "lesions"]
    assert entry.question == INQUIRY.question


@pytest.mark.parametrize("scale", ["quick", "full"])
def test_trainings_are_those_that_other_inquiries_share(scale):
    others = Study(
        "shared", {"residual BN": taught(learner("residual BN", 16), scale)}, SEEDS[scale]
    )
    shared = {trial.training_key for trial in plan(others)}
    own = [trial for trial in plan(study(scale)) if trial.name == "residual BN"]
    assert RATE in RATES
    assert {trial.training_key for trial in own} <= shared
    assert len(own) == len(SEEDS[scale])


def test_the_larger_scale_draws_more():
    assert FULL.draws > QUICK.draws == DRAWS
    assert FULL.depth == QUICK.depth == 16


# The readings, on networks that were not trained: what is asked is whether they lose the right blocks.


def _network(family="residual BN", seed=0):
    network = learner(family, 4).build(seed)
    inputs, _ = TASK.full("test")
    for _ in range(3):  # running statistics of their own
        network(inputs)
    return network.eval()


def _accuracy(network):
    inputs, targets = TASK.full("test")
    with torch.no_grad():
        return float((network(inputs).argmax(1) == targets).double().mean())


def _found(family="residual BN", **settings):
    torch.manual_seed(0)
    batch = TASK.batch(32, 0)
    return of_residual(_network(family), batch, loss=TASK.loss, task=TASK, walks=1, **settings)


@pytest.mark.parametrize(
    ("quantity", "operation"), [("deletion_accuracy", DropBranches), ("cut_accuracy", CutSkips)]
)
def test_every_block_and_shortcut_is_taken_out_as_surgery_does(quantity, operation):
    found, (inputs, _) = _found(), TASK.full("test")
    expected = [
        _accuracy(operate(_network(), operation(where=f"blocks.{place}.*"), inputs=inputs))
        for place in range(4)
    ]
    np.testing.assert_allclose(found[quantity], expected, atol=1e-6)
    assert len(set(expected)) > 1


def test_both_ways_to_delete_a_block_agree_on_a_residual_network():
    found = _found()
    plain = of_plain(_network(), None, task=TASK)
    np.testing.assert_allclose(found["deletion_accuracy"], plain["deletion_accuracy"], atol=1e-6)
    every = {"block": 4}  # all blocks deleted: no draw differs
    np.testing.assert_allclose(
        found["lesion_accuracy"].sel(every), plain["lesion_accuracy"].sel(every), atol=1e-6
    )


def test_swapped_blocks_are_those_that_surgery_permutes(monkeypatch):
    from skipnorm.inquiries.lesions import readings

    monkeypatch.setattr(readings, "_swapped", lambda depth, number, chance: [2, 1, 0, 3])
    found = of_plain(_network(), None, task=TASK, draws=1)["permutation_accuracy"].values
    inputs, _ = TASK.full("test")
    moved = operate(_network(), PermuteBlocks(order=(2, 1, 0, 3)), inputs=inputs)
    assert found[0, 0] == pytest.approx(_accuracy(moved), abs=1e-6)
    assert found[0, 0] != pytest.approx(_accuracy(_network()), abs=1e-6)


def test_a_plain_network_without_a_block():
    network = _network("plain BN")
    found = of_plain(network, None, task=TASK)["deletion_accuracy"].values
    expected = []
    for place in range(4):
        rest = [block for at, block in enumerate(network.blocks) if at != place]
        expected.append(_accuracy(torch.nn.Sequential(network.stem, *rest, network.head)))
    np.testing.assert_allclose(found, expected)


def test_statistics_are_re_estimated_on_the_wounded_network():
    found = _found(draws=2)
    network = _network()
    for place in range(4):
        network.blocks[place] = torch.nn.Identity()
    network.head.norm.momentum = None  # the only norm that is left: an exact average
    network.head.norm.reset_running_stats()
    inputs, _ = TASK.full("test")
    network.head.norm.train()
    with torch.no_grad():
        network(inputs)
    expected = _accuracy(network.eval())
    np.testing.assert_allclose(found["mended_accuracy"].sel(block=4), expected, atol=0.006)
    assert abs(float(found["lesion_accuracy"].sel(block=4)[0]) - expected) > 0.006


def test_without_a_norm_there_is_nothing_to_mend():
    found = _found("SkipInit", draws=2)
    np.testing.assert_array_equal(found["mended_accuracy"], found["lesion_accuracy"])


def test_a_reading_leaves_the_network_as_it_was():
    network = _network("plain BN").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    of_plain(network, None, task=TASK, draws=2)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_how_many_blocks_and_pairs():
    assert numbers(16) == (2, 4, 6, 8, 10, 12, 14, 16)
    assert pairs(16) == (1, 2, 4, 8)
    assert pairs(4) == (1, 2)


def test_random_choices_have_the_right_size():
    from skipnorm.inquiries.lesions.readings import _kept, _swapped

    chance = np.random.default_rng(0)
    assert len(_kept(16, 6, chance)) == 10
    order = _swapped(16, 3, chance)
    assert sorted(order) == list(range(16))
    assert sum(at != block for at, block in enumerate(order)) == 6


# The effects and the claims


def rows(*values):
    """One number for each row, the same in every draw."""
    return np.array(values)[:, None] * np.ones(TINY.draws)


PRICES = np.array([0.4, 0.3, 0.2, 0.1, 0.08, 0.06, 0.04, 0.02])
"""0.15 on average."""


def world(evidence):
    """Evidence in which what the claims say is so; eight blocks."""
    made = put(shaped_like(evidence), "test_accuracy", 1.0)
    for name in RESIDUAL:
        made = puts(
            {
                (name, "deletion_accuracy"): [0.95, 0.98, *[0.999] * 6],
                (name, "deletion_price"): PRICES,
                (name, "cut_accuracy"): 0.3,
                (name, "lesion_accuracy"): rows(0.98, 0.96, 0.94, 0.92),
                (name, "permutation_accuracy"): rows(0.97, 0.93, 0.8) - [0.0, 0.01, 0.02],
                (name, "order_kept"): rows(0.8, 0.5, 0.1) - [0.0, 0.01, 0.02],
                (name, "branch_ratio"): 0.3,
                (name, "path_length"): 2.0,
            }
        )(made)
    return puts(
        {
            ("residual BN", "lesion_accuracy"): rows(0.9, 0.7, 0.5, 0.3),
            ("residual BN", "mended_accuracy"): rows(0.95, 0.9, 0.8, 0.7),
            ("residual BN", "lesion_price"): rows(0.3, 2.0, 3.0, 4.0),
            ("plain BN", "deletion_accuracy"): 0.1,
            ("plain BN", "permutation_accuracy"): 0.1,
        }
    )(made)


def several(quantity, value, variant="residual BN", **where):
    return lambda made: put(made, quantity, value, variant=variant, **where)


REFUTING = {
    "error-grows-smoothly": several("lesion_accuracy", rows(0.2, 0.15, 0.1, 0.1)),
    "two-prices-add-up": several("lesion_price", 2.0),
    "half-costs-more-than-its-parts": several("lesion_price", rows(0.3, 0.6, 0.9, 1.2)),
    "skipinit-stands-half": several("lesion_accuracy", 0.8, "SkipInit"),
    "batch-norm-does-not-stand-half": several("lesion_accuracy", 0.95),
    "statistics-are-half-of-the-damage": several("mended_accuracy", 0.75),
    "one-block-hardly-matters": several("deletion_accuracy", 0.9, "SkipInit"),
    "most-blocks-are-dispensable": several("deletion_accuracy", 0.98),
    "one-plain-block-is-fatal": several("deletion_accuracy", 0.8, "plain BN"),
    "first-blocks-matter-more": several("deletion_price", PRICES[::-1], "SkipInit"),
    "one-swap-is-bearable": several("permutation_accuracy", 0.8),
    "error-follows-disorder": several("order_kept", rows(0.1, 0.5, 0.8), "SkipInit"),
    "plain-order-is-fatal": several("permutation_accuracy", 0.6, "plain BN"),
    "short-paths-carry-the-gradient": several("path_length", 4.0),
    "shortcuts-carry-more-than-branches": several("cut_accuracy", 0.9),
    "blocks-are-near-the-identity": several("branch_ratio", 1.0),
    "no-block-is-idle": several("branch_ratio", 0.001, "SkipInit", site="block 1"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_supported_where_it_holds(name, evidence):
    verdict = judge(CLAIMS[name], world(evidence))
    assert verdict.ruling == "supported", verdict.reason


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_refuted_where_it_does_not(name, evidence):
    verdict = judge(CLAIMS[name], REFUTING[name](world(evidence)))
    assert verdict.ruling == "refuted", verdict.reason


def test_every_claim_has_its_worlds():
    assert set(REFUTING) == set(CLAIMS)


def test_the_largest_step_is_a_share_of_the_whole_fall(evidence):
    made = put(shaped_like(evidence), "test_accuracy", 1.0, variant="SkipInit")
    made = put(made, "lesion_accuracy", rows(0.9, 0.6, 0.6, 0.7), variant="SkipInit")
    np.testing.assert_allclose(effects.largest_step(made, "SkipInit"), 0.75, rtol=1e-6)
