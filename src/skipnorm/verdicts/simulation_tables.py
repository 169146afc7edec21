"""The tables of a simulation of rulings, as Markdown, and their place in a page."""

from collections.abc import Callable, Iterable, Sequence

from skipnorm.errors import ClaimError
from skipnorm.verdicts.predictions import Near
from skipnorm.verdicts.simulation import (
    SEEDS,
    SUBJECTS,
    WORLDS,
    Subject,
    World,
    false_alarms,
    family,
    power,
    shares,
)

BEGIN = "<!-- tables: python -m skipnorm.verdicts.simulation docs/statistics.md -->"
END = "<!-- end of tables -->"

Measure = Callable[[Subject, World, int, int], tuple[float, ...]]


def tables(worlds: int) -> str:
    """All tables of the simulation, with a line above each that says how to read it.

    Args:
        worlds: how many worlds are simulated for every number.
    """
    parts = [
        f"Every number is a share of {worlds} simulated worlds, in per cent.",
        _alarms(worlds),
        _power(worlds),
        _levels(worlds),
        _family(worlds),
    ]
    return "\n\n".join(parts) + "\n"


def page_with(page: str, text: str) -> str:
    """A page with these tables between its markers, in place of those it had.

    Raises:
        ClaimError: the page has no markers.
    """
    if BEGIN not in page or END not in page:
        raise ClaimError(f"expected the lines {BEGIN!r} and {END!r} in the page; found none")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def _alarms(worlds: int) -> str:
    head = (
        "**False alarms.** The truth lies on the border of the claim; falsely supported / falsely "
        "refuted. Nominal: 2.5 / 2.5."
    )
    return f"{head}\n\n{_table('claim', _rows(false_alarms, worlds))}"


def _power(worlds: int) -> str:
    head = (
        "**Power.** The claim is true by one / two standard deviations (of the effect over "
        "seeds), and supported."
    )
    return f"{head}\n\n{_table('claim', _rows(power, worlds))}"


def _rows(measure: Measure, worlds: int) -> list[list[str]]:
    return [
        [subject.name, world.name, *(_percents(measure(subject, world, n, worlds)) for n in SEEDS)]
        for world in WORLDS
        for subject in SUBJECTS
    ]


def _levels(worlds: int) -> str:
    head = (
        "**Why 95 %.** `Near` on normal effects: a band far narrower than the interval (± 0.02), "
        "true, and refuted in error / a band of ± 1, true, and supported."
    )
    rows = []
    for level in (0.95, 0.90):
        cells = []
        for n in SEEDS:
            narrow = shares(Near(0.0, 0.02), WORLDS[0], 0.0, n, worlds, level=level)["refuted"]
            wide = shares(Near(0.0, 1.0), WORLDS[0], 0.0, n, worlds, level=level)["supported"]
            cells.append(_percents((narrow, wide)))
        rows.append([f"{level:.0%}".replace("%", " %"), "normal", *cells])
    return f"{head}\n\n{_table('interval', rows)}"


def _family(worlds: int) -> str:
    head = (
        "**Several cases.** Six cases, all on the border, half of the variance shared between "
        "them: any false ruling. Nominal: at most 5."
    )
    rows = [
        ["any of six", world.name, *(_percents((family(world, n, worlds // 4),)) for n in SEEDS)]
        for world in WORLDS[:2]
    ]
    return f"{head} ({worlds // 4} worlds.)\n\n{_table('claim', rows)}"


def _percents(found: Iterable[float]) -> str:
    return " / ".join(f"{100 * share:.1f}" for share in found)


def _table(first: str, rows: Sequence[Sequence[str]]) -> str:
    head = [first, "effects", *(f"{n} seeds" for n in SEEDS)]
    lines = [head, ["---", "---", *["---:"] * len(SEEDS)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
