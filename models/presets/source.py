"""A preset as a source of settings: what the environment leaves out is the preset's, then default.

A process inherits `PresetSettings` and says which of its fields a preset sets. Its settings then
are the effective ones; no other module puts preset and settings together.
"""

from abc import abstractmethod
from typing import Any

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
)

from models.errors import InputError
from models.presets import Preset, load_preset
from models.settings import ProcessSettings

# A setting that names another model or base does not inherit what is known of the preset's.
_BELONGS_TO = {
    "encoder": ("model", ("pretrained", "notice", "locates_kinds")),
    "reranker": ("base", ("adapter",)),
}
_DEFAULT = "demo"


class PresetSettings(ProcessSettings):
    """Settings of a process that runs models of a preset.

    Raises:
        InputError: When made: there is no such preset, or its file is none.
    """

    preset: str = Field(
        _DEFAULT,
        description="encoder, reranker and weights that belong together: `demo`, `fast`, `base`, "
        "`large`, or the path of a `.json` file; API, worker and indexer need the same",
    )

    @classmethod
    @abstractmethod
    def of_preset(cls, preset: Preset) -> dict[str, Any]:
        """What a preset sets: fields of this class → values, models among them as dicts."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the preset."""
        above = super().settings_customise_sources(
            settings_cls, init_settings, env_settings, dotenv_settings, file_secret_settings
        )
        return *(_partial(source, cls) for source in above), _PresetSource(cls)


class _PresetSource(PydanticBaseSettingsSource):
    """What the preset says that the sources above name."""

    def __init__(self, settings_cls: type[PresetSettings]) -> None:
        super().__init__(settings_cls)
        self._of_preset = settings_cls.of_preset

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not used: the values of a preset are read at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """Fields → values; those of a group are completed by what the sources above set in it."""
        above = self.current_state
        try:
            preset = load_preset(str(above.get("preset", _DEFAULT)))
        except InputError as error:
            given = self.settings_sources_data.get(InitSettingsSource.__name__, {})
            variable = "" if "preset" in given else f"{self.config['env_prefix']}PRESET: "
            raise InputError(f"{variable}{error}") from None
        values = self._of_preset(preset)
        for group, (owner, parts) in _BELONGS_TO.items():
            mine, other = values.get(group) or {}, above.get(group)
            model = other.get(owner) if isinstance(other, dict) else None
            if model is not None and model != mine.get(owner):
                values[group] = {name: mine[name] for name in mine if name not in parts}
        return values


def _partial(
    source: PydanticBaseSettingsSource, settings_cls: type[PresetSettings]
) -> PydanticBaseSettingsSource:
    """Arguments that are groups of a preset as what is set in them: the rest is the preset's."""
    if not isinstance(source, InitSettingsSource):
        return source
    groups = {"encoder", "reranker", "composition"}
    values = {
        name: value.model_dump(exclude_unset=True)
        if name in groups and isinstance(value, BaseModel)
        else value
        for name, value in source.init_kwargs.items()
    }
    return InitSettingsSource(settings_cls, values)
