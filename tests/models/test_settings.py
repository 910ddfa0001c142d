"""Reading settings: what is wrong is said by the variable's name; every number has its bounds."""

import traceback
from collections.abc import Iterator

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.api.settings import ApiSettings
from app.worker.settings import WorkerSettings
from indexer.settings import IndexerSettings
from models.settings import ProcessSettings, SettingsError, read_settings, without_password


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CIR_API__GALLERY__KEY", "hunter2", "CIR_API__GALLERY__KEY: there is no such name"),
        ("CIR_API__WORKER__URLS", "hunter2", "CIR_API__WORKER__URLS: no JSON"),
        (
            "CIR_API__EXTERNAL_RERANKER",
            '{"api_key": "hunter2"',
            "CIR_API__EXTERNAL_RERANKER: no JSON",
        ),
        ("CIR_API__EXTERNAL_RERANKER", "hunter2", "CIR_API__EXTERNAL_RERANKER: no JSON"),
        ("CIR_API__WORKER__URLS", '["a:hunter2@b"]', "CIR_API__WORKER__URLS: 'b' is no address of"),
        ("cir_api__timeout_ms", "hunter2", "CIR_API__TIMEOUT_MS: Input should be a valid integer"),
        ("CIR_API__PASSWORD", "hunter2", "unknown settings: CIR_API__PASSWORD; there are: "),
    ],
)
def test_a_bad_setting_is_named_and_its_value_is_not(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as error:
        read_settings(ApiSettings)
    (problem,) = error.value.problems
    assert problem.startswith(said)
    assert "hunter2" not in "".join(traceback.format_exception(error.value))


OLD_NAMES: list[tuple[type[ProcessSettings], str, str, str]] = [
    (ApiSettings, "EXTERNAL_JUDGE__CHUNK_SIZE", "EXTERNAL_RERANKER__CHUNK_SIZE", "3"),
    (ApiSettings, "EXTERNAL_JUDGE", "EXTERNAL_RERANKER", '{"chunk_size": 3}'),
    (ApiSettings, "QDRANT__ALIAS", "GALLERY__ALIAS", "mine"),
    (ApiSettings, "JUDGE_COMPOSES", "RERANKER_COMPOSES", "true"),
    (ApiSettings, "ANSWER_RESERVE_MS", "RESPONSE_MARGIN_MS", "31"),
    (ApiSettings, "WORKER__EXPAND_NAMES", "WORKER__RESOLVE_DNS", "true"),
    (WorkerSettings, "JUDGE__VISUAL_TOKENS", "RERANKER__VISUAL_TOKENS", "33"),
    (WorkerSettings, "PREFIX_CACHE", "PREFIX_CACHE_QUERIES", "3"),
    (WorkerSettings, "PARENT", "PARENT_PID", "3"),
    (IndexerSettings, "QDRANT__SHARD_NUMBER", "GALLERY__SHARD_NUMBER", "3"),
    (IndexerSettings, "MAX_BYTES", "MAX_IMAGE_BYTES", "3000"),
    (IndexerSettings, "MAX_PIXELS", "MAX_IMAGE_PIXELS", "3000"),
]


@pytest.mark.parametrize(("process", "old", "new", "value"), OLD_NAMES)
def test_an_old_name_sets_what_the_new_one_does_and_is_logged(
    process: type[ProcessSettings],
    old: str,
    new: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    prefix = process.model_config["env_prefix"]
    with monkeypatch.context() as patch:
        patch.setenv(prefix + new, value)
        expected = read_settings(process)
    assert not caplog.messages
    assert expected != read_settings(process)
    monkeypatch.setenv(prefix + old, value)
    assert read_settings(process) == process() == expected
    (message,) = caplog.messages
    assert message.startswith(f"{prefix}{old} is called {prefix}{new} now")


def test_every_old_name_is_tested() -> None:
    tested = {
        (process, name)
        for process, old, _, _ in OLD_NAMES
        for name in process.old_names
        if old == name or old.startswith(f"{name}__")
    }
    processes: tuple[type[ProcessSettings], ...] = (ApiSettings, WorkerSettings, IndexerSettings)
    assert tested == {(process, old) for process in processes for old in process.old_names}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("QDRANT__ALIAS", "old"), ("GALLERY__ALIAS", "new")),
        (("QDRANT__ALIAS", "old"), ("GALLERY", '{"alias": "new"}')),
        (("QDRANT", '{"alias": "old"}'), ("GALLERY", '{"alias": "new"}')),
    ],
)
def test_a_new_name_wins_over_the_old_one(
    old: tuple[str, str],
    new: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in (old, new):
        monkeypatch.setenv(f"CIR_API__{name}", value)
    assert read_settings(ApiSettings).gallery.alias == "new"
    assert caplog.messages == [
        f"CIR_API__{old[0]} is ignored: CIR_API__{new[0]}, its new name, is set too"
    ]


def test_an_old_name_in_a_group_goes_with_the_json_of_the_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CIR_API__WORKER", '{"urls": ["http://worker:8100"]}')
    monkeypatch.setenv("CIR_API__WORKER__EXPAND_NAMES", "true")
    worker = read_settings(ApiSettings).worker
    assert worker.urls == ("http://worker:8100",)
    assert worker.resolve_dns


def test_a_bad_value_under_an_old_name_is_named_by_the_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CIR_WORKER__JUDGE__VISUAL_TOKENS", "0")
    with pytest.raises(SettingsError, match="^CIR_WORKER__RERANKER__VISUAL_TOKENS: "):
        read_settings(WorkerSettings)


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("http://qdrant:6333", "http://qdrant:6333"),
        ("https://key@there/path", "https://there/path"),
        ("http://user:pass@word@there:1", "http://there:1"),
        ("http://user:pa/ss#wo?rd@there", "http://there"),
        ("user:password@there", "there"),
        ("http://there/path?key=password", "http://there/path"),
    ],
)
def test_an_address_is_printed_without_user_and_password(url: str, printed: str) -> None:
    assert without_password(url) == printed


@pytest.mark.parametrize("process", [ApiSettings, WorkerSettings, IndexerSettings])
def test_every_number_has_a_lowest_and_a_highest_value(process: type[BaseModel]) -> None:
    numbers = list(numeric(process))
    assert len(numbers) > 5
    for name, field in numbers:
        low = [m for m in field.metadata if isinstance(m, Ge | Gt)]
        high = [m for m in field.metadata if isinstance(m, Le | Lt)]
        assert low, name
        assert high, name
    assert process.model_config["allow_inf_nan"] is False
    assert process.model_config["hide_input_in_errors"] is True


def numeric(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The fields that hold numbers, also those of nested groups."""
    for name, field in model.model_fields.items():
        kinds = getattr(field.annotation, "__args__", (field.annotation,))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from numeric(kind, f"{prefix}{name}.")
            elif kind in (int, float):
                yield f"{prefix}{name}", field
