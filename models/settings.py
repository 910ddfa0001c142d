"""How settings are read from the environment, and the groups that more than one process needs.

Each process nests the groups under its own prefix. Settings hold keys, and addresses may hold
passwords: errors name the variable, never its value. The fields' descriptions are the documentation
of the settings (the tables of app/README.md): they say what a value means, its unit where the name
does not, and what happens at its limits.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as NotJson

from models.errors import InputError

PRESETS = Path(__file__).parent / "presets"

LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"],
    BeforeValidator(lambda level: level.lower() if isinstance(level, str) else level),
]

_log = logging.getLogger(__name__)

_USER_AND_PASSWORD = re.compile(r"^(\w[\w+.-]*://)?.*@", re.DOTALL)
_Settings = TypeVar("_Settings", bound="ProcessSettings")


class SettingsError(InputError):
    """The environment holds unknown or bad settings.

    Attributes:
        problems: One sentence for each, which begins with the variable.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class SettingsGroup(BaseModel):
    """Settings below one name; errors hold no values, and no number is infinite."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False
    )


class ProcessSettings(BaseSettings):
    """All settings of a process; their variables begin with the `env_prefix` of its config.

    Attributes:
        old_names: Old → new, without the prefix, of variables (those of a group as
            `GROUP__NAME`) and of groups of them. The old ones
            are read until 0.2.0; `read_settings` logs which to change.
    """

    old_names: ClassVar[dict[str, str]] = {}

    model_config = SettingsConfigDict(
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (is `cls`)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (does not know old names)
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment."""
        return init_settings, _Environment(cls)


class _Environment(EnvSettingsSource):
    """The environment, whose old names stand for the new ones."""

    def __init__(self, settings_cls: type[ProcessSettings]) -> None:
        super().__init__(settings_cls)
        renamed = under_new_names(self.env_vars, settings_cls)[0]
        self.env_vars = {name.lower(): value for name, value in renamed.items()}


class EncoderSettings(SettingsGroup):
    """Which model embeds images and texts, and where it runs."""

    model_config = ConfigDict(protected_namespaces=())

    model: str = Field(
        "demo",
        description="`demo` (shipped), an open_clip name such as `ViT-B-32`, `hf-hub:org/name`, "
        "`local-dir:/path`, or `hf-clip:` and the hub name or folder of a CLIP in transformers' "
        "layout; another model than the preset's does not inherit what belongs to that one",
    )
    pretrained: str | None = Field(
        None, description="open_clip's pretrained tag or a weights file; only for open_clip names"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="where it runs; `auto`: on a GPU if there is one"
    )
    batch_size: int = Field(64, ge=1, le=4096, description="images per forward pass")
    notice: str | None = Field(
        None, description="a sentence about what the model does not know; the page shows it"
    )
    locates_kinds: bool = Field(
        False,
        description="whether its heat maps were found to lie on the kind of thing that a phrase "
        "names, and not only on colours and the like; `false`: none is shown for kinds",
    )

    @property
    def source(self) -> str:
        """The name to load by; `demo` is the folder shipped with this package."""
        return f"local-dir:{PRESETS / 'demo' / 'encoder'}" if self.model == "demo" else self.model


class RerankerSettings(SettingsGroup):
    """A base model, an adapter on it, and how much of an image they see."""

    base: str = Field(
        "demo",
        description="base model: `demo` (shipped), a hub name such as `Qwen/Qwen3-VL-2B-Instruct`, "
        "or a folder of the same layout; another base than the preset's does not inherit its "
        "adapter",
    )
    adapter: str | None = Field(
        None, description="a peft LoRA adapter: hub name or folder; `demo` brings its own"
    )
    visual_tokens: int = Field(
        16, ge=1, le=16384, description="most visual tokens per image; images are scaled to it"
    )
    template: Literal["auto", "cir", "qwen3-vl-reranker", "instruct", "smolvlm"] = Field(
        "auto",
        description="prompt template; `auto`: what the adapter was trained with "
        "(its `reranker.json`), else what suits the base",
    )
    shows_target: bool = Field(
        True, description="whether the question about a candidate names the composed target"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="where it runs; `auto`: on a GPU if there is one"
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="precision; `auto`: bfloat16 on a GPU that has it, else float32"
    )

    @property
    def base_source(self) -> str:
        """What transformers loads."""
        return str(PRESETS / "demo" / "reranker" / "base") if self.base == "demo" else self.base

    @property
    def adapter_source(self) -> str | None:
        """What peft loads."""
        if self.adapter is None and self.base == "demo":
            return str(PRESETS / "demo" / "reranker" / "adapter")
        return self.adapter


def without_password(url: str) -> str:
    """A URL, or a text that is none, without user, password and query: as it may be printed."""
    return re.split("[?#]", _USER_AND_PASSWORD.sub(r"\1", url))[0]


def read_settings(kind: type[_Settings], **overrides: Any) -> _Settings:
    """The settings of a process from the environment.

    Args:
        kind: The process's settings; their variables begin with the `env_prefix` of their config.
        overrides: Values that override the environment's.

    Raises:
        SettingsError: Some are unknown or bad.
    """
    prefix = kind.model_config["env_prefix"]
    environ, notes = under_new_names(os.environ, kind)
    for note in notes:
        _log.warning(note)
    check_no_unknown(environ, prefix, kind)
    try:
        return kind(**overrides)
    except ValidationError as error:
        raise SettingsError(list(sentences(error, lambda at: _variable(prefix, at)))) from None
    except NotJson as error:
        raise SettingsError(list(_not_json(error, prefix))) from None
    except InputError as error:  # of a source of values
        raise SettingsError([str(error)]) from None


def under_new_names(
    environ: Mapping[str, str | None], kind: type[ProcessSettings]
) -> tuple[dict[str, Any], list[str]]:
    """An environment without old names.

    Args:
        environ: Variables, in upper or lower case.
        kind: Settings with `old_names`.

    Returns:
        The environment with each old name replaced by the new one. Where the new one, or the JSON
        of a group around it, is set too, the old one is left out. And a sentence about each, which
        holds no value.
    """
    prefix = kind.model_config["env_prefix"].upper()
    there = {name.upper() for name in environ}
    renamed: dict[str, Any] = {}
    notes = []
    for name, value in environ.items():
        old = next((old for old in kind.old_names if _is_below(name.upper(), prefix + old)), None)
        if old is None:
            renamed[name] = value
            continue
        new = prefix + kind.old_names[old] + name.upper().removeprefix(prefix + old)
        around = {group for group in _groups(new) if not _is_below(name.upper(), group)}
        if around & there:
            notes.append(f"{name} is ignored: {min(around & there)}, its new name, is set too")
        else:
            renamed[new] = value
            notes.append(f"{name} is called {new} now; the old name is read until 0.2.0")
    return renamed, notes


def _is_below(variable: str, group: str) -> bool:
    return variable == group or variable.startswith(f"{group}__")


def _groups(variable: str) -> Iterator[str]:
    """The variable, and those that may hold it as JSON."""
    parts = variable.split("__")
    return ("__".join(parts[:count]) for count in range(2, len(parts) + 1))


def is_set(kind: type[ProcessSettings], field: str) -> bool:
    """Whether the environment sets a field of a process."""
    variable = f"{kind.model_config['env_prefix']}{field}".upper()
    return any(name.upper() == variable for name in os.environ)


def sentences(error: ValidationError, name: Callable[[Sequence[int | str]], str]) -> Iterator[str]:
    """What a validation found, one sentence each, without the values.

    Args:
        error: Of pydantic.
        name: Fields and positions that lead to a value → its name for the reader, "" for the whole.
    """
    for problem in error.errors(include_url=False, include_input=False):
        if problem["type"] == "extra_forbidden":
            message = "there is no such name"
        else:
            message = problem["msg"].removeprefix("Value error, ")
        named = name(problem["loc"])
        yield f"{named}: {message}" if named else message


def _variable(prefix: str, at: Sequence[int | str]) -> str:
    return prefix + "__".join(str(part).upper() for part in at) if at else ""


def _not_json(error: NotJson, prefix: str) -> Iterator[str]:
    """A sentence for each variable that holds the text that the JSON decoder refused."""
    text = error.__cause__.doc if isinstance(error.__cause__, json.JSONDecodeError) else None
    names = [n for n, v in os.environ.items() if n.upper().startswith(prefix) and v == text]
    for name in names or [f"a variable that begins with {prefix}"]:
        yield f"{name}: no JSON, which lists and groups of settings are written in"


def check_no_unknown(environ: Mapping[str, str], prefix: str, known: type[BaseModel]) -> None:
    """Refuse variables that begin with the prefix and set nothing, as typos do.

    Raises:
        SettingsError: Names every such variable, and the settings there are.
    """
    names = {name.upper() for name in known.model_fields}
    unknown = [
        key
        for key in environ
        if key.upper().startswith(prefix) and key.upper()[len(prefix) :].split("__")[0] not in names
    ]
    if unknown:
        there_are = ", ".join(f"{prefix}{name}" for name in sorted(names))
        raise SettingsError(
            [f"unknown settings: {', '.join(sorted(unknown))}; there are: {there_are}"]
        )
