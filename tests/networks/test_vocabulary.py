"""The orders are the ones of He et al. 2016 and of the signal propagation plots."""

from skipnorm.networks.vocabulary import PLAIN_ORDERS, RESIDUAL_ORDERS


def test_first_orders_are_the_defaults():
    assert next(iter(PLAIN_ORDERS)) == "weight-norm-act"
    assert next(iter(RESIDUAL_ORDERS)) == "norm-act-weight"


def test_placements_of_he_have_two_weights_norms_and_activations():
    five = [order for order in RESIDUAL_ORDERS.values() if order.layers == 2]
    assert len(five) == 5
    for order in five:
        steps = sorted(order.branch + order.after)
        assert steps == ["act", "act", "norm", "norm", "weight", "weight"]


def test_names_of_short_orders_spell_their_branch():
    for name, order in {**PLAIN_ORDERS, **RESIDUAL_ORDERS}.items():
        if order.layers == 1:
            assert "-".join(order.branch) == name
