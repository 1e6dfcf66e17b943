# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables: ``${NAME}`` from setval, ``$[NAME]`` from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from .model import Configuration, Item

MAX_SUBSTITUTIONS = 100  # in one string: values may nest, and an environment may nest without end
MAX_LENGTH = 65536  # of an expanded string

_OPENING = re.compile(r"\$([{\[])")
_CLOSERS = {"{": "}", "[": "]"}


class Variables:
    """The names that strings may use. Of two definitions the first one wins, as upstream."""

    def __init__(self, values: Mapping[str, str], environment: Mapping[str, str]):
        self._sources = {"{": values, "[": environment}

    def expand(self, text: str) -> str:
        """The text with its variables replaced; the result is scanned again. ValueError names what is undefined."""
        if "$" not in text:
            return text
        position = 0
        for _round in range(MAX_SUBSTITUTIONS):
            opening = _OPENING.search(text, position)
            if opening is None:
                return text
            position = opening.start()
            text = self._replace(text, opening)
            if len(text) > MAX_LENGTH:
                raise ValueError("a string grows beyond {} characters by its variables".format(MAX_LENGTH))
        raise ValueError("more than {} variables in one string, or one that names itself".format(MAX_SUBSTITUTIONS))

    def _replace(self, text: str, opening: re.Match[str]) -> str:
        bracket = opening.group(1)
        end = text.find(_CLOSERS[bracket], opening.end())
        if end < 0:
            raise ValueError("{} lacks its closing {}".format(text[opening.start() :], _CLOSERS[bracket]))
        name = text[opening.end() : end]
        value = self._sources[bracket].get(name)
        if value is None:
            raise ValueError("{}{} is not defined".format(text[opening.start() : end], _CLOSERS[bracket]))
        return text[: opening.start()] + value + text[end + 1 :]


def definitions(configuration: Configuration) -> Iterator[Item]:
    """Every name and value of every setval, in order."""
    for section in configuration.all("setval"):
        yield from section.items


def variables_of(configuration: Configuration, environment: Mapping[str, str] | None = None) -> Variables:
    """The variables that a configuration's strings may use. A definition that can't be expanded is left out."""
    environment = os.environ if environment is None else environment
    bare = Variables({}, environment)
    values: dict[str, str] = {}
    for name, value in definitions(configuration):
        try:
            values.setdefault(bare.expand(name.text), bare.expand(value.text))
        except ValueError:
            continue
    return Variables(values, environment)
