"""Jinja2 templates, filled in: every string is escaped, and a name that the context lacks is an error."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, **context: Any) -> Markup:
    """A template of ``report/pages/templates`` as HTML.

    Args:
        template: the file's name.
        **context: what its variables stand for; only `Markup` goes in unescaped.

    Raises:
        jinja2.UndefinedError: the template names something that the context lacks.
    """
    return Markup(_environment().get_template(template).render(context))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("likewise.report.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["px"] = _pixels
    # The filter tojson makes < > & harmless, so that no </script> survives in a name; NaN is no JSON.
    environment.policies["json.dumps_function"] = _dumps
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment


def _pixels(length: float) -> str:
    """A length for an attribute: 12.34 -> ``12.3``, 12.0 -> ``12``."""
    return f"{length:.1f}".removesuffix(".0")


def _dumps(content: Any, **settings: Any) -> str:
    return json.dumps(_finite(content), allow_nan=False, **settings)


def _finite(content: Any) -> Any:
    """The same content with None for NaN and infinities."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return content
