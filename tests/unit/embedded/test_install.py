"""Set-up's stamps: a step is done again exactly when what it was made from changes."""

from pathlib import Path

import pytest

from project.embedded import install


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "ROOT", tmp_path)


def test_a_stamp_changes_with_the_file_and_with_the_extra_text(tmp_path: Path) -> None:
    source = tmp_path / "requirements.txt"
    source.write_text("a==1\n")
    first = install.stamp_of(tmp_path, "pip", [source], "3.11")

    assert install.stamp_of(tmp_path, "pip", [source], "3.11") == first
    assert install.stamp_of(tmp_path, "pip", [source], "3.12") != first
    source.write_text("a==2\n")
    assert install.stamp_of(tmp_path, "pip", [source], "3.11") != first


def test_a_new_stamp_takes_the_older_ones_of_its_step_away(tmp_path: Path) -> None:
    for name in (".stamp-pip-old", ".stamp-npm-old"):
        (tmp_path / name).touch()

    install.put_stamp(tmp_path / ".stamp-pip-new", "pip")

    assert sorted(path.name for path in tmp_path.iterdir()) == [".stamp-npm-old", ".stamp-pip-new"]


def test_an_interpreter_that_is_not_there_does_not_work(tmp_path: Path) -> None:
    assert not install.is_working(tmp_path / "bin" / "python")


def test_an_npm_that_skipped_the_optional_package_has_not_fetched_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "MODULES", tmp_path / "node_modules")
    assert not install.has_evm_node()

    binary = tmp_path / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
    binary.parent.mkdir(parents=True)
    binary.touch()
    assert install.has_evm_node()


def test_without_a_root_user_no_system_package_is_installed_and_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "VENV", tmp_path)
    monkeypatch.setattr(install, "may_install_packages", lambda: False)

    for _ in range(2):
        install.install_system_package("bubblewrap-of-nobody", "no-such-program", "something else is used")

    assert capsys.readouterr().err.count("something else is used") == 1
