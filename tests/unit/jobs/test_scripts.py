"""Whether an inline script is a program: said when the job is made, by line, without running it."""

from pathlib import Path

import pytest

from apps.jobs.data import definition_from_json
from apps.jobs.errors import ScriptSyntaxInvalid


def test_a_syntax_error_is_named_by_its_line_and_the_script_is_never_run(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    run = f"open({str(touched)!r}, 'w')"
    body = {"name": "x", "trigger_kind": "manual"}
    with pytest.raises(ScriptSyntaxInvalid) as caught:
        definition_from_json({**body, "script_source": f"{run}\n\ndef f(:\n    pass\n"})
    assert caught.value.pointer == "/script_source"
    assert (caught.value.fields["line"], caught.value.fields["column"]) == (3, 7)
    definition_from_json({**body, "script_source": f"{run}\nprint('\\d', 1 is 1)\n"})
    assert not touched.exists()
