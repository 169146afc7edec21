"""What the numbers of `paths` mean."""

from collections.abc import Container

from skipnorm.evidence.schema import Quantity

__all__ = ["declared"]

_VEIT = "Veit et al. 2016"
_PAIRED = "standard error over samples of the paired difference of "


def _prices() -> list[Quantity]:
    kinds = {
        "deletion": (("site",), "of deleting the block: its branch is removed"),
        "cut": (("site",), "of cutting the shortcut: only the branch is left"),
        "lesion": (("block", "draw"), "of deleting so many random blocks at once"),
        "permutation": (("case", "draw"), "of swapping so many random pairs of equal blocks"),
    }
    found = []
    for name, (dims, what) in kinds.items():
        for mark, unit, change in (("loss", "loss", "rise"), ("accuracy", "1", "fall")):
            price = f"{change} of the {mark}, the price {what}"
            found.append(Quantity(f"{name}_{mark}_price", dims, unit, price, _VEIT))
            if dims == ("site",):
                error = f"{name}_{mark}_price_error"
                found.append(Quantity(error, dims, unit, _PAIRED + price, "Cochran 1977, eq. 6.13"))
    return found


_LENGTH = ("length",)
QUANTITIES = (
    Quantity("loss", (), "loss", "loss of the network as it is", "definition"),
    Quantity("accuracy", (), "1", "accuracy of the network as it is", "definition"),
    *_prices(),
    Quantity(
        "permutation_kendall_tau",
        ("case", "draw"),
        "1",
        "Kendall's tau between the blocks' order and the permuted one",
        _VEIT,
    ),
    Quantity(
        "branch_ratio",
        ("site",),
        "1",
        "norm of the branch over norm of the shortcut, ||F(x)|| / ||h(x)||, over all batches",
        "He et al. 2016 (identity mappings)",
    ),
    Quantity(
        "branch_gain",
        ("site",),
        "1",
        "squared gradient at the skip's ancestor through the branch over that through the shortcut",
        f"after {_VEIT}",
    ),
    Quantity(
        "path_gradient",
        _LENGTH,
        "loss",
        "mean norm of the input's gradient along one path through so many branches",
        f"{_VEIT}, figure 6b",
    ),
    Quantity(
        "path_gradient_error",
        _LENGTH,
        "loss",
        "standard error of path_gradient over the paths drawn; 0 where all were taken",
        "definition",
    ),
    Quantity(
        "path_mass",
        _LENGTH,
        "loss",
        "path_gradient times the number of paths of that length",
        f"{_VEIT}, figure 6c",
    ),
    Quantity("path_mass_share", _LENGTH, "1", "path_mass as a share of its sum", _VEIT),
    Quantity(
        "path_power_share",
        _LENGTH,
        "1",
        "mean squared norm times number of paths, as a share of its sum",
        f"after {_VEIT}",
    ),
    Quantity(
        "path_power_share_predicted",
        _LENGTH,
        "1",
        "path_power_share if branches acted independently: Poisson-binomial of the odds branch_gain",
        "derived",
    ),
    Quantity("path_length_by_norm", (), "blocks", "mean length weighted by path_mass", _VEIT),
    Quantity(
        "path_length_by_power",
        (),
        "blocks",
        "mean length weighted by path_power_share",
        f"after {_VEIT}",
    ),
    Quantity(
        "path_length_by_power_error",
        (),
        "blocks",
        "standard error of path_length_by_power over the paths drawn; 0 where all were taken",
        "importance sampling, by the linear part of the ratio",
    ),
    Quantity(
        "path_length_predicted",
        (),
        "blocks",
        "sum of g / (1 + g) over the gains g of the branches",
        "derived, after Veit et al. 2016",
    ),
)
"""All that `paths` can find."""


def declared(values: Container[str]) -> tuple[Quantity, ...]:
    """The quantities that have a value."""
    return tuple(quantity for quantity in QUANTITIES if quantity.name in values)
