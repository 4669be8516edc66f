"""Reads the settings from the environment and `.env`, and says in one sentence what is wrong with them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from taskward.env_file import EnvFileError, read_names
from taskward.runtime.spelling import nearest
from taskward.settings.model import ENV_FILE, ENV_FILE_ENCODING, FROM_KUBERNETES, PREFIX, SERVICE_ADDRESS, Settings

# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK = re.compile(
    r"\w+_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)"
)
_KEYS = ("jwt_secret", "better_auth_secret", "public_key", "jwks_url")
# Each rule as a request that breaks it is told, see `http/validation.py`.
_RULES = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
}


class SettingsError(Exception):
    """A setting is missing or wrong; the message is one sentence that names it."""


def load_settings(**overrides: Any) -> Settings:
    """Read the environment and `.env`.

    Args:
        overrides: Settings by member name that win over both, such as command-line options.

    Raises:
        SettingsError: A setting is wrong, or a `TASKWARD_*` variable is not a setting.
    """
    _refuse_unknown([*os.environ, *_names_in_env_file()])
    try:
        return Settings(**{**_hidden(), **overrides})
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def _hidden() -> dict[str, None]:
    """The keys of `.env` that an empty variable of the environment hides.

    An app's `.env` may have a key that is not for Taskward. Of other settings an empty variable hides nothing: one is
    too easily made by accident, by which a check would be off.
    """
    given: dict[str, set[str]] = {}
    for name, value in os.environ.items():
        given.setdefault(name.upper(), set()).add(value)
    return {member: None for member in _KEYS if given.get(variable_names()[member]) == {""}}


def variable_names() -> dict[str, str]:
    """The environment variable of each member of `Settings`."""
    names = {}
    for member, field in Settings.model_fields.items():
        alias = field.validation_alias
        names[member] = alias if isinstance(alias, str) else PREFIX + member.upper()
    return names


def _names_in_env_file() -> Iterable[str]:
    try:
        return read_names(ENV_FILE, ENV_FILE_ENCODING, set(variable_names().values()))
    except EnvFileError as error:
        raise SettingsError(str(error)) from None


def _refuse_unknown(names: Iterable[str]) -> None:
    # A misspelt TASKWARD_AUDIENCE would silently switch the check off.
    known = {name.removeprefix(PREFIX): name for name in variable_names().values()}
    for name in names:
        # Settings are read in any case, as Windows has it.
        prefix, rest = name[: len(PREFIX)].upper(), name[len(PREFIX) :].upper()
        if prefix == PREFIX and known.get(rest) != PREFIX + rest:
            close = nearest(rest, known)
            hint = "." if close is None else f"; did you mean {known[close]}?"
            if _SERVICE_LINK.fullmatch(name) or os.environ.get(name, "").startswith(SERVICE_ADDRESS):
                hint = f"; {FROM_KUBERNETES}."
            raise SettingsError(f"{name} is not a setting of Taskward{hint}")


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    reason = _reason(first)
    if not first["loc"]:
        return reason[0].upper() + reason[1:] + "."
    member = str(first["loc"][0])
    return f"{variable_names().get(member, member)}: {reason}."


def _reason(error: ErrorDetails) -> str:
    rule = _RULES.get(error["type"])
    if rule is None:
        return error["msg"].removeprefix("Value error, ")
    bounds = error.get("ctx", {}).items()
    return rule.format(**{name: f"{bound:g}" if isinstance(bound, float) else bound for name, bound in bounds})
