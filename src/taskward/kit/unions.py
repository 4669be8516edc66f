"""Unions of models that a member tells apart, and what a client is told who names none of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Union

from pydantic import BaseModel, Discriminator, Tag

from taskward.kit.sentences import listed, with_article

UNION_TAG = "\0"
"""Begins the tag of a member of a union. Tags are in the path of an error, where clients know nothing of them."""
UNKNOWN_KIND = "unknown_kind"
"""The type of Pydantic's error where an object is none of a union. Its context has the `member` by which they are told
apart, the same as `named` in a sentence, and `choices`, the words that it may be, as a sentence lists them.
"""
SENTENCE = "This must have {named}: {choices}."


def told_apart(member: str, models: Mapping[str, type[BaseModel]]) -> Any:
    """The type of a union.

    Args:
        models: Each by the word that the member has in it.
    """
    tagged = tuple(Annotated[model, Tag(f"{UNION_TAG}{word}")] for word, model in models.items())
    return Annotated[Union[tagged], by_member(member, models)]  # noqa: UP007 - made of what was found


def by_member(member: str, words: Collection[str]) -> Discriminator:
    """What tells the models of a union apart, whose tags are `UNION_TAG` and a word each."""

    def kind(value: Any) -> str | None:
        # What is validated already, as items of long bodies are, is a model.
        word = value.get(member) if isinstance(value, dict) else getattr(value, member, None)
        return f"{UNION_TAG}{word}" if isinstance(word, str) else None

    context = {"member": member, "named": with_article(member), "choices": listed(words, "or")}
    return Discriminator(
        kind,
        custom_error_type=UNKNOWN_KIND,
        custom_error_message=SENTENCE,
        custom_error_context={**context},
    )


def choices_of(context: Mapping[str, Any]) -> tuple[str, ...]:
    """The words that an error of `UNKNOWN_KIND` names."""
    *others, last = str(context["choices"]).split(", ")
    return (*others, *last.split(" or "))
