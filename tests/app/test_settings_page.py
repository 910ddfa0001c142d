"""The tables of settings on app/README.md say what the code says."""

import re

from models.settings import ProcessSettings
from tests.app.settings_page import BEGIN, END, PAGE, PROCESSES, leaves, page_with_tables


def test_the_page_is_as_it_would_be_written_now() -> None:
    page = PAGE.read_text("utf-8")
    assert page == page_with_tables(page), "run: python -m tests.app.settings_page"


def test_every_setting_has_a_row_of_its_own() -> None:
    page = PAGE.read_text("utf-8")
    table = page[page.index(BEGIN) : page.index(END)]
    in_table = re.findall(r"^\| `(CIR_\w+)` \|", table, re.MULTILINE)
    there_are = [name for process in PROCESSES.values() for name in variables(process)]
    assert in_table == there_are
    assert len(in_table) == len(set(in_table)) > 80


def variables(process: type[ProcessSettings]) -> list[str]:
    prefix = process.model_config["env_prefix"]
    return [f"{prefix}{'__'.join(path).upper()}" for path, _, _ in leaves(process)]
