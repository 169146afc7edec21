"""Altering what happens at sites while a network runs, in training too.

The tap sits in the modules that own the sites, not at the root: so the alteration holds under any entry point of the
model and in what gradient checkpointing computes for a second time.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.anatomy.frames import Frame
from skipnorm.anatomy.lineage import Lineage
from skipnorm.anatomy.operations import Operation, Role, operation
from skipnorm.anatomy.sites import Address, Anatomy, Site, Skip
from skipnorm.anatomy.taps import Tap, tapped
from skipnorm.anatomy.tensors import operands_of
from skipnorm.anatomy.terms import Terms, terms_of
from skipnorm.errors import SurgeryError, nearest

__all__ = ["Alteration", "Edit", "Occasion", "altered"]


def _nothing_to_call(tensor: Tensor) -> Tensor:
    raise SurgeryError(
        "expected a call of a norm or an activation, found a skip or a whole module."
    )


def _nothing_to_join(parts: Sequence[Tensor]) -> Tensor:
    raise SurgeryError("expected a skip, whose parts can be joined, found a norm or an activation.")


@dataclass(
    eq=False, slots=True
)  # frozen ones take five times as long to make, at every call of a site
class Occasion:
    """One execution of a site that is being altered.

    Attributes:
        site: the site.
        module: whose call holds the site.
        ports: how to get the tensor at `input` (norms and activations) or at `shortcut` and `branch` (skips; in a sum
            of several terms, the branch is everything that came by no shortcut).
        original: carries out the call as the network wrote it.
        call: carries out the call of a norm or an activation on another input. A module that is one site has run
            already: it cannot be called again.
        parts: of a skip: the terms of its sum, or the pieces of its concatenation, in order. `site.shortcuts` and
            `site.branch` are positions among them.
        join: of a skip: puts such parts together as the network would have.
        into: of a sum of two tensors that is written into the first: the two. An edit that writes its result there too,
            and returns that tensor, spares the copies that the ports are.
    """

    site: Site
    module: nn.Module
    ports: Mapping[str, Callable[[], Tensor]]
    original: Callable[[], Tensor]
    call: Callable[[Tensor], Tensor] = _nothing_to_call
    parts: Callable[[], list[Tensor]] = list
    join: Callable[[Sequence[Tensor]], Tensor] = _nothing_to_join
    into: tuple[Any, ...] | None = None

    def __getitem__(self, port: str) -> Tensor:
        """The tensor at a port; an unknown port raises SurgeryError."""
        if port not in self.ports:
            raise SurgeryError(f"{self.site.name} has no such port: {nearest(port, self.ports)}")
        return self.ports[port]()


Edit = Callable[[Occasion], Tensor]


@contextmanager
def altered(network: nn.Module, anatomy: Anatomy, edits: Mapping[str, Edit]) -> Iterator[None]:
    """Let `edits`, by name of site, say what the site returns, for the duration of the context.

    Exact under gradient checkpointing (either `use_reentrant`), as long as the backward pass runs inside the
    context, and under every entry point. An altered in-place call writes its result into the same tensor.

    Raises:
        SurgeryError: a name is none of the anatomy's; the network is being looked at or altered already; or a
            checkpointed network is differentiated behind the end of the context.

    >>> import torch
    >>> from skipnorm.anatomy import anatomy
    >>> network, x = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), torch.ones(1, 2)
    >>> with altered(network, anatomy(network, x), {"1": lambda occasion: torch.zeros(1, 2)}):
    ...     network(x).sum().item()
    0.0
    """
    sites = {site.name: site for site in anatomy.sites}
    for name in edits:
        if name not in sites:
            raise SurgeryError(nearest(name, sites))
    known = {sites[name].address: (sites[name], edit) for name, edit in edits.items()}
    with tapped(Alteration(known, network), network):
        yield


class Alteration(Tap):
    """A tap that lets edits say what their sites return."""

    refusal = SurgeryError

    def __init__(
        self, edits: Mapping[Address, tuple[Site, Edit]], network: nn.Module | None = None
    ) -> None:
        super().__init__(network)
        self._edits = edits
        self._operations = {address.operation for address in edits}
        self.attentive = "" in self._operations  # a module that is a site
        self._sought: dict[Any, Operation | None] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Of all calls, those of an operation that some site has: this runs at every call, so it looks up little."""
        try:
            op = self._sought[function]
        except KeyError:
            found = operation(function)
            edited = found.role is not Role.QUERY and found.name in self._operations
            op = self._sought[function] = found if edited else None
        frames = self._stack.frames
        if op is None or not frames or frames[-1].quiet:
            return function(*args, **(kwargs or {}))
        return self.on_call(op, function, args, kwargs or {})

    def on_call(
        self,
        op: Operation,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Carry out a torch call, or what the edit of its site says in its place."""
        frame = self._stack.frames[-1]
        known = self._edits.get(frame.address(op.name))
        if known is None:
            return function(*args, **kwargs)
        site, edit = known
        result = edit(_occasion(site, frame.call.module, op, function, args, kwargs))
        target = args[0] if op.in_place else kwargs.get("out")
        if isinstance(target, Tensor) and result is not target:
            return _overwritten(target, result)
        return result

    def on_enter(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep what goes into a module that is a site."""
        known = self._edits.get(_whole(frame))
        if known is not None:  # a leaf module may write into its input
            frame.inputs = (list(operands_of(args, kwargs))[known[0].operand].clone(),)

    def on_exit(self, frame: Frame, result: Any) -> Any:
        """Let the edit of a module that is a site say what it returns."""
        known = self._edits.get(_whole(frame))
        if known is None:
            return result
        site, edit = known
        ports = {"input": lambda: frame.inputs[0]}
        return edit(Occasion(site, frame.call.module, ports, lambda: result))


def _overwritten(target: Tensor, result: Tensor) -> Tensor:
    """The tensor with another value, which has nothing more to do with how the old one came about.

    Else a gradient of zeros would go back there, and zero times infinity is NaN. A view has to stay one.
    """
    if target.requires_grad and not target.is_leaf and not target._is_view():
        target.detach_()
    return target.copy_(result)


def _whole(frame: Frame) -> Address:
    """The address of a module that is one site."""
    return Address(frame.call.label, frame.method, "", 1)


def _called_on(
    tensor: Tensor,
    operand: int,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """The call with another tensor in the place of the operand that the site acts on."""
    given = list(operands_of(args, kwargs))[operand]
    swapped = tuple(tensor if each is given else each for each in args)
    named = {key: tensor if each is given else each for key, each in kwargs.items()}
    return function(*swapped, **named)


def _occasion(
    site: Site,
    module: nn.Module,
    op: Operation,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Occasion:
    original = functools.partial(function, *args, **kwargs)
    if isinstance(site, Skip):
        join = _concatenation if op.role is Role.CONCAT else _addition
        return join(site, module, op, original, args, kwargs)
    kept = (args[0].clone(), *args[1:]) if op.in_place else args
    source = list(operands_of(kept, kwargs))[site.operand]
    call = functools.partial(
        _called_on, operand=site.operand, function=function, args=kept, kwargs=kwargs
    )
    return Occasion(site, module, {"input": lambda: source}, original, call)


def _concatenation(
    site: Skip,
    module: nn.Module,
    op: Operation,
    original: Callable[[], Tensor],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Occasion:
    tensors = list(args[0] if args else kwargs["tensors"])
    rest = args[1:] if args else ()
    named = {key: value for key, value in kwargs.items() if key not in ("tensors", "out")}
    function = getattr(torch, op.name)
    return Occasion(
        site,
        module,
        {"shortcut": lambda: tensors[site.shortcuts[0]], "branch": lambda: tensors[site.branch]},
        original,
        parts=lambda: list(tensors),
        join=lambda parts: function(list(parts), *rest, **named),
    )


def _addition(
    site: Skip,
    module: nn.Module,
    op: Operation,
    original: Callable[[], Tensor],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Occasion:
    known: list[Terms] = []

    def terms() -> Terms:
        if known:
            return known[0]
        kept = (args[0].clone(), *args[1:]) if op.in_place else args
        found = terms_of(op, kept, kwargs, Lineage())
        if found is None:
            raise SurgeryError(
                f"expected a sum at {site.name}, found a call of {op.name} with one term"
            )
        known.append(found)
        return found

    return Occasion(
        site,
        module,
        {
            "shortcut": lambda: terms().ports(site.shortcuts)["shortcut"](),
            "branch": lambda: terms().ports(site.shortcuts)["branch"](),
        },
        original,
        parts=lambda: [value() for value in terms().values],
        join=_together,
        into=args if op.in_place and _is_plain(op, args, kwargs) else None,
    )


_together = functools.partial(functools.reduce, torch.add)


def _is_plain(op: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether this is the sum of two tensors of one type, without factors."""
    tensors = len(args) == 2 and isinstance(args[0], Tensor) and isinstance(args[1], Tensor)
    return op.name == "add" and not kwargs and tensors and args[0].dtype == args[1].dtype
