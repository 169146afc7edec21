"""Groups: which sites are asked about together, on networks whose sites are known."""

import pytest
import torch

import skipnorm as sn
from skipnorm.audit.groups import groups_of
from skipnorm.errors import StudyError

X = torch.randn(16, 64)


def anatomy(**settings: object) -> sn.Anatomy:
    return sn.anatomy(sn.Perceptron(width=8, **settings).build(0), X)  # type: ignore[arg-type]


def test_a_deep_network_is_asked_about_whole_and_in_thirds():
    found = groups_of(anatomy(depth=9, residual=True, norm="batch"))
    assert [group.name for group in found if group.level == 0] == ["all norms", "all shortcuts"]
    for kind in ("norms", "shortcuts", "branches"):
        parts = [group for group in found if group.kind == kind and group.level == 1]
        assert len(parts) == 3
        names = [name for group in parts for name in group.sites]
        assert len(names) == len(set(names)) == (10 if kind == "norms" else 9)


def test_a_shallow_network_is_asked_about_site_by_site():
    found = groups_of(anatomy(depth=2, norm="layer"))
    assert [(group.name, group.level) for group in found] == [
        ("all norms", 0),
        ("norm blocks.0.norm", 2),
        ("norm blocks.1.norm", 2),
    ]


def test_stages_are_prefixes_of_paths():
    names = ["stem.norm", "layer1.0.norm", "layer1.1.norm", "layer2.0.norm", "layer2.1.norm"]
    network = torch.nn.ModuleDict()
    for name in names:
        place = network
        *path, last = name.split(".")
        for part in path:
            if part not in place:
                place[part] = torch.nn.ModuleDict()
            place = place[part]
        place[last] = torch.nn.LayerNorm(4)

    class Chain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, part in network.items():
                self.add_module(name, part)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for module in self.modules():
                if isinstance(module, torch.nn.LayerNorm):
                    x = module(x).relu()
            return x

    found = groups_of(sn.anatomy(Chain(), torch.randn(3, 4)), ("stages",))
    assert [group.name for group in found] == [
        "norms of layer1",
        "norms of layer2",
        "norm stem.norm",
    ]


def test_globs_make_groups_and_ignored_sites_are_in_none():
    sites = anatomy(depth=4, residual=True, norm="batch")
    found = groups_of(sites, ("blocks.[01].*",))
    assert {group.name for group in found} == {
        "norms of blocks.[01].*",
        "shortcuts of blocks.[01].*",
        "branches of blocks.[01].*",
    }
    kept = groups_of(sites, ignore=("head.*", "blocks.0.*"))
    assert not any(name.startswith(("head", "blocks.0.")) for group in kept for name in group.sites)


def test_a_network_without_norms_and_skips_is_refused():
    with pytest.raises(StudyError, match="expected at least one, found none"):
        groups_of(anatomy(depth=2))
    with pytest.raises(StudyError, match="not ignored"):
        groups_of(anatomy(depth=2, norm="batch"), ignore=("*",))


def test_an_unknown_glob_is_answered_with_what_there_is():
    with pytest.raises(StudyError, match=r"blocks\.0\.norm"):
        groups_of(anatomy(depth=2, norm="batch"), ("blocks.7.norm",))
