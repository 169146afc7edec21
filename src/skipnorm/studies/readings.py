"""What is asked of a network at one state, and the answers, question by question."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from skipnorm.errors import StudyError, nearest
from skipnorm.studies.identity import canonical, digest, source_of
from skipnorm.studies.reference import load, reference
from skipnorm.studies.sowing import sow

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Question", "answers", "questions"]


@dataclass(frozen=True)
class Question:
    """A probe with the text that names it: name, version and settings.

    ``probe`` is a `Probe`, which reads every site, or a function of (network, batch), which looks at
    the whole network and finds `Findings` or an `xarray.Dataset`.
    """

    text: str
    probe: Any

    @property
    def whole(self) -> bool:
        """Whether it is asked of the whole network."""
        return callable(self.probe)


def questions(probes: Any) -> tuple[Question, ...]:
    """The questions meant by what `Study` takes as probes, each with its lasting name.

    Raises:
        StudyError: an unknown name, a function that cannot be asked, or one question twice.

    >>> [question.text for question in questions(["gradient", "curvature"])]
    ['gradient@1()', 'curvature@1()']
    """
    found = tuple(_questions(probes))
    texts = [question.text for question in found]
    twice = sorted({text for text in texts if texts.count(text) > 1})
    if twice:
        raise StudyError(f"A probe is asked once: expected different ones, found {twice} twice.")
    return found


def answers(
    asked: Sequence[Question], network: Any, batch: Any, task: Any, *, seed: int
) -> dict[str, xr.Dataset]:
    """The answer to each question, by its text. All sites are read in one pass.

    Every pass begins from the same random state, so that an answer does not depend on what else
    is asked. The network is left as it was; a function of the user's own gets a copy.
    """
    import torch

    from skipnorm.anatomy.tensors import mapped

    weights = next(network.parameters(), None) if isinstance(network, torch.nn.Module) else None
    if weights is not None:
        batch = mapped(lambda tensor: tensor.to(weights.device), batch)
    sow(seed)
    found = _sites([each for each in asked if not each.whole], network, batch, task)
    for question in asked:
        if question.whole:
            sow(seed)
            found[question.text] = _whole(question.probe, network, batch, task)
    return found


def _questions(probes: Any) -> Iterator[Question]:
    from skipnorm.probes import Probe, chosen

    one = isinstance(probes, str | Probe) or callable(probes)
    if probes is None or not (one or isinstance(probes, Iterable)):
        yield from (Question(str(probe), probe) for probe in chosen(probes))
        return
    for each in [probes] if one else probes:
        probe = _named(each) if isinstance(each, str) else each
        if isinstance(probe, Probe):
            yield Question(str(probe), probe)
        elif callable(probe):
            yield Question(_text(probe), probe)
        else:
            raise StudyError(f"A study asks probes by name or value: found {each!r}.")


def _named(name: str) -> Any:
    """A probe of the catalogue, a verb's probe, or the function at ``pkg.module:function``."""
    from skipnorm.probes import CATALOGUE
    from skipnorm.studies import verbs

    if ":" in name:
        return load(name)
    if name in verbs.__all__:
        return inspect.unwrap(getattr(verbs, name))
    known = {probe.name: probe for probe in CATALOGUE}
    if name not in known:
        raise StudyError(f"There is no such probe: {nearest(name, [*known, *verbs.__all__])}")
    return known[name]


def _text(probe: Callable[..., Any]) -> str:
    function = probe.func if isinstance(probe, partial) else probe
    bound = probe.keywords if isinstance(probe, partial) else {}
    _check(probe)
    settings = ", ".join(f"{name}={canonical(value)}" for name, value in sorted(bound.items()))
    mark = f"@{getattr(function, 'version', 1)}({settings})"
    if _ours(function):
        return f"{function.__name__}{mark}"
    return f"{reference(function)}{mark}#{digest([source_of(function)])[:8]}"


def _check(probe: Callable[..., Any]) -> None:
    """Refuse a function that needs more than a network and a batch."""
    takes = inspect.signature(probe).parameters.values()
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in takes if p.default is p.empty and p.kind not in open_ended]
    placed = isinstance(probe, partial) and probe.args
    if placed or len(needed) < 2 or not {*needed[2:]} <= {"loss", "task"}:
        raise StudyError(
            f"A study asks a function of (network, batch), and passes loss= and task= where it "
            f"takes them: found {needed} needed by {probe!r}. Bind settings with functools.partial."
        )


def _ours(function: Callable[..., Any]) -> bool:
    return function.__module__.split(".")[0] == "skipnorm"


def _sites(sites: Sequence[Question], network: Any, batch: Any, task: Any) -> dict[str, xr.Dataset]:
    """One pass for all that read sites; what follows from several belongs to a gradient probe."""
    from skipnorm.studies.measure import measure

    if not sites:
        return {}
    probes = tuple(site.probe for site in sites)
    measured = measure(network, batch, loss=task.loss, probes=probes)
    owner = {q.name: s.text for s in sites for q in getattr(s.probe, "quantities", ())}
    deep = [site.text for site in sites if getattr(site.probe, "needs_gradient", False)]
    rest = (*deep, sites[0].text)[0]
    names: dict[str, list[str]] = {site.text: [] for site in sites}
    for name in map(str, measured.data_vars):
        names[owner.get(name, rest)].append(name)
    return {text: measured[own] for text, own in names.items()}


def _whole(probe: Callable[..., Any], network: Any, batch: Any, task: Any) -> xr.Dataset:
    import xarray as xr

    from skipnorm.probes.findings import Findings
    from skipnorm.studies.measure import labelled

    function = probe.func if isinstance(probe, partial) else probe
    subject = network if _ours(function) else copy.deepcopy(network)
    found = probe(subject, batch, **_offered(probe, {"loss": task.loss, "task": task}))
    if isinstance(found, Findings):
        found = labelled(found)
        found.attrs = {_setting(function, name): text for name, text in found.attrs.items()}
    if not isinstance(found, xr.Dataset):
        raise StudyError(
            f"A probe answers with an xarray.Dataset: found {type(found).__name__} from {probe!r}. "
            "Make one with skipnorm.evidence.label."
        )
    return found


def _setting(function: Callable[..., Any], name: Any) -> str:
    """A setting's name that tells whose it is, among those of several probes."""
    return str(name) if name == "notes" else f"{function.__name__}_{name}"


def _offered(probe: Callable[..., Any], offers: Mapping[str, Any]) -> dict[str, Any]:
    """What of the offers a function takes and is not bound to already."""
    bound = probe.keywords if isinstance(probe, partial) else {}
    takes = inspect.signature(probe).parameters
    return {name: value for name, value in offers.items() if name in takes and name not in bound}
