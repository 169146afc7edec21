"""A remark: what the essay says less exactly than it could, and the claims that show it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Remark:
    """One row of the page "Where the essay is imprecise".

    Args:
        statement: what the essay says.
        where: in which version and section.
        text: what is imprecise about it, and what holds instead.
        claims: pairs of a section's name and a claim's name whose evidence shows it; none where it is a
            matter of algebra or of citation.
    """

    statement: str
    where: str
    text: str
    claims: tuple[tuple[str, str], ...] = ()
