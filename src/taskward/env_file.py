"""Reading `.env` so that no line of it is silently skipped: the check that it was meant to switch on would be off."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables

# An app that shares the file may name its variables in its own way, but not in a way that only another reader of
# such files takes for a variable of ours: `$env:NAME`, or a name with an invisible character.
_NAME = re.compile(r"(?!(?i:TASKWARD)[.-])[A-Za-z_][A-Za-z0-9_.-]*")
_LINE_IN_A_VALUE = re.compile(r"\n\s*(?:export\s+)?(\w+)\s*=")
_REFERENCE = re.compile(r"[A-Z_][A-Z0-9_]*")


class EnvFileError(Exception):
    """The file cannot be read as it was meant; the message is one sentence that repeats no value."""


def read_names(path: Path, encoding: str, ours: Collection[str]) -> list[str]:
    """The names of the variables in the file; none if there is no file.

    Args:
        path: The file.
        encoding: Its encoding.
        ours: The variables whose values count here, in capitals; the others are an app's that shares the file.

    Raises:
        EnvFileError: It cannot be read, a line would be skipped, or a value of ours refers to what is not set.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding=encoding) as file:
            bindings = list(parse_stream(file))
    except OSError as error:
        raise EnvFileError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeError:
        raise EnvFileError(f"{path} is not UTF-8; save it as that.") from None
    for binding in bindings:
        if not _is_read(binding, ours):
            raise EnvFileError(
                f"{path} line {_line(binding)} cannot be read: write NAME=value, and quote a value of several lines."
            )
    _refuse_unset_references(path, bindings, ours)
    return [binding.key for binding in bindings if binding.key is not None]


def _line(binding: Binding) -> int:
    text = binding.original.string
    blank = text[: len(text) - len(text.lstrip())]
    return binding.original.line + blank.count("\n")


def _is_read(binding: Binding, ours: Collection[str]) -> bool:
    if binding.key is None:
        return not binding.error  # a blank line or a comment
    if binding.value is None or not _NAME.fullmatch(binding.key):
        return False
    # With a line of ours in its value, a quote before it was left open.
    inside = {name.upper() for name in _LINE_IN_A_VALUE.findall(binding.value)}
    return inside.isdisjoint(ours) and not any(name.startswith("TASKWARD_") for name in inside)


def _refuse_unset_references(path: Path, bindings: Iterable[Binding], ours: Collection[str]) -> None:
    # The reference would become empty, which would switch a check off, or shorter than it was meant. A value that
    # consists of it is as good as not set.
    known = set(os.environ)
    for binding in bindings:
        if binding.key is None:
            continue
        references = [atom for atom in parse_variables(binding.value or "") if isinstance(atom, Variable)]
        missing = [atom.name for atom in references if atom.default is None and atom.name not in known]
        if missing and binding.key.upper() in ours:
            # What is no usual name may be a piece of a secret.
            name = f"{missing[0]}, which is" if _REFERENCE.fullmatch(missing[0]) else "a variable that is"
            raise EnvFileError(f"{path} line {_line(binding)} refers to {name} not set.")
        if missing:
            known.discard(binding.key)
        else:
            known.add(binding.key)
