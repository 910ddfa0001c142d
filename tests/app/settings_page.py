"""The tables of settings in app/README.md, from the fields themselves.

    python -m tests.app.settings_page        writes them anew

No process knows the settings of all three, so this stands with the tests, one of which says that
the page is as this would write it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.api.settings import ApiSettings
from app.worker.settings import WorkerSettings
from indexer.settings import IndexerSettings
from models.settings import ProcessSettings
from tests.paths import ROOT

PAGE = ROOT / "app" / "README.md"
BEGIN, END = "<!-- settings -->", "<!-- /settings -->"
PROCESSES: dict[str, type[ProcessSettings]] = {
    "API": ApiSettings,
    "Worker": WorkerSettings,
    "Indexer": IndexerSettings,
}
UNITS = {"_ms": "ms", "_s": "s", "_bytes": "bytes", "_px": "px", "_pixels": "pixels", "_mb": "MB"}
OF_PRESET = "of the preset"
INTRODUCTION = """\
A variable counts before the preset, the preset before the defaults. `__` leads into a group, which
can be set as a whole by JSON too: `CIR_API__COMPOSITION='{"text": 0.2}'`. (`python -m
tests.app.settings_page` writes these tables from the settings' fields.)

"""


def page_with_tables(page: str) -> str:
    """The page with the tables between the markers, whatever stood there."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def tables() -> str:
    """A heading and a table for each process, each followed by the old names of its settings."""
    parts = [INTRODUCTION]
    for name, process in PROCESSES.items():
        parts.append(
            f"### {name}\n\n| variable | default | values | meaning |\n|---|---|---|---|\n"
        )
        parts += [f"| {' | '.join(row)} |\n" for row in rows(process)]
        prefix = process.model_config["env_prefix"]
        renamed = [f"`{prefix}{old}` (now `{new}`)" for old, new in process.old_names.items()]
        parts.append(f"\nOld names, read until 0.2.0: {', '.join(renamed)}.\n\n")
    return "".join(parts).rstrip("\n") + "\n"


def rows(process: type[ProcessSettings]) -> Iterator[tuple[str, str, str, str]]:
    """Variable, default, values and meaning of each setting, groups last."""
    prefix: str = process.model_config["env_prefix"]
    for path, field, of_preset in leaves(process):
        assert field.description, path
        variable = f"`{prefix}{'__'.join(path).upper()}`"
        default = OF_PRESET if of_preset else default_of(field)
        yield variable, default, values_of(path[-1], field), field.description.replace("|", "\\|")


def leaves(
    group: type[BaseModel], path: tuple[str, ...] = (), of_preset: bool = False
) -> Iterator[tuple[tuple[str, ...], FieldInfo, bool]]:
    """The fields of a group and of those below it, with whether a preset sets them."""
    for name, field in group.model_fields.items():
        below = next((kind for kind in kinds_of(field) if is_group(kind)), None)
        set_by_preset = of_preset or field.is_required()
        if below is None:
            yield (*path, name), field, set_by_preset
        else:
            yield from leaves(below, (*path, name), set_by_preset)


def kinds_of(field: FieldInfo) -> tuple[Any, ...]:
    annotation = field.annotation
    if get_origin(annotation) in (Literal, tuple):
        return (annotation,)
    return get_args(annotation) or (annotation,)


def is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def default_of(field: FieldInfo) -> str:
    value = field.default
    if value is None or value == "":
        return "none"
    if isinstance(value, Path):
        return f"`{value.as_posix()}`"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def values_of(name: str, field: FieldInfo) -> str:
    """Which there are: a range with its unit, or a choice; empty for any text."""
    for kind in kinds_of(field):
        if get_origin(kind) is Literal:
            return ", ".join(f"`{value}`" for value in get_args(kind))
        if kind is bool:
            return "`true`, `false`"
    low, high = bound(field, Ge, Gt, "above "), bound(field, Le, Lt, "below ")
    unit = next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")
    return f"{low} to {high} {unit}".strip() if low and high else ""


def bound(field: FieldInfo, closed: type, opened: type, word: str) -> str:
    for limit in field.metadata:
        if isinstance(limit, closed):
            return f"{getattr(limit, closed.__name__.lower()):,}"
        if isinstance(limit, opened):
            return f"{word}{getattr(limit, opened.__name__.lower()):,}"
    return ""


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(PAGE.read_text("utf-8")), encoding="utf-8")
