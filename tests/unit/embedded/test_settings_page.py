"""The settings page is written by the program, so it cannot lie."""

from project.env import REPOSITORY
from project.management.commands.settings_table import render_settings


def test_the_settings_page_is_what_the_command_prints() -> None:
    page = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")

    assert page == render_settings(), "run: python manage.py settings_table > docs/settings.md"
