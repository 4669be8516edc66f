"""Where in a request something is wrong, where the request is made of parts."""

from __future__ import annotations

from taskward.errors import FieldError, Invalid, Problem


def point_into(problem: Problem, part: str) -> None:
    """Make the pointers of a problem, which was found in a part of the request, begin at the whole request.

    Args:
        part: The pointer to that part.
    """
    if isinstance(problem, Invalid):
        problem.errors = [FieldError(e.location, f"{part}{e.pointer}", e.detail) for e in problem.errors]


def of_line(problem: Problem, number: int) -> Problem:
    """The same problem, which says of which line of a file it is.

    Args:
        number: From 1.
    """
    if isinstance(problem, Invalid):
        point_into(problem, f"/{number}")
    else:
        problem.index = number
    return problem
