"""Whether an inline script is a program: said when the job is made, by line, without running it."""

from pathlib import Path

import pytest

from apps.jobs.data import definition_from_json
from apps.jobs.domain.scripts import ScriptLimits
from apps.jobs.domain.validation import Bounds
from apps.jobs.domain.values import JobDefinition
from apps.jobs.errors import ScriptImportRefused, ScriptSyntaxInvalid, ScriptTooComplex


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


BOUNDS = Bounds()
TYPED = """
enum Side { Buy = "buy", Sell = "sell" }
type Told = { params: { limit: number } };
const told = (await new Response(Deno.stdin.readable).json()) as Told;
export const side: Side = told.params.limit > 3 ? Side.Buy : Side.Sell;
console.log(JSON.stringify({ side }));
"""


def read(source: str, language: str, bounds: Bounds = BOUNDS) -> JobDefinition:
    body = {"name": "x", "trigger_kind": "manual", "script": {"language": language}}
    return definition_from_json({**body, "script_source": source}, bounds)


@pytest.mark.parametrize(("source", "language"), [(TYPED, "typescript"), ("const a = 1;", "javascript")])
def test_an_inline_script_keeps_its_language(source: str, language: str) -> None:
    script = read(source, language).steps[0].script
    assert script is not None
    assert script.language == language


def test_the_same_text_is_read_in_each_language_it_is_said_to_be() -> None:
    steps = [
        {"key": "one", "script_source": "a = 1"},
        {"key": "two", "script_source": "a = 1", "script": {"language": "javascript"}},
        {"key": "three", "script_source": "a = 1", "script": {"language": "typescript"}},
    ]
    value = definition_from_json({"name": "x", "trigger_kind": "manual", "steps": steps})
    assert [step.script and step.script.language for step in value.steps] == [
        "python",
        "javascript",
        "typescript",
    ]
    assert len(value.sources) == 1
    steps[0]["script_source"] = steps[1]["script_source"] = "def f(): pass"
    with pytest.raises(ScriptSyntaxInvalid) as caught:
        definition_from_json({"name": "x", "trigger_kind": "manual", "steps": steps})
    assert caught.value.pointer == "/steps/1/script_source"


@pytest.mark.parametrize(
    ("source", "language", "place", "words"),
    [
        ("const a = 1 +;", "javascript", (1, 13), "no JavaScript: '+'"),
        ("const a = 1;\nconst né = {;\n", "typescript", (2, 13), "no TypeScript: } is missing"),
        ("let a: number = 1;", "javascript", (1, 5), "no JavaScript"),
        ("def f():\n  pass\n", "typescript", (1, 1), "no TypeScript"),
        ("if (a) {\n  b(\n}\n", "javascript", (2, 3), "no JavaScript"),
    ],
)
def test_a_script_that_the_grammar_refuses_is_named_by_line_and_column(
    source: str, language: str, place: tuple[int, int], words: str
) -> None:
    with pytest.raises(ScriptSyntaxInvalid) as caught:
        read(source, language)
    assert (caught.value.fields["line"], caught.value.fields["column"]) == place
    assert caught.value.fields["language"] == language
    assert words in caught.value.fields["reason"]


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ('import x from "npm:lodash";', "npm:lodash"),
        ("import 'https://example.org/x.ts';", "https://example.org/x.ts"),
        ('const a = 1;\nexport * from "./other.ts";', "./other.ts"),
        ('import type { T } from "jsr:@std/assert";', "jsr:@std/assert"),
        ('import { readFileSync } from "node:fs";', "node:fs"),
    ],
)
def test_an_import_is_refused_with_what_it_would_import(source: str, module: str) -> None:
    with pytest.raises(ScriptImportRefused) as caught:
        read(source, "typescript")
    assert caught.value.fields["module"] == module
    assert caught.value.fields["line"] == len(source.splitlines())


@pytest.mark.parametrize("language", ["python", "javascript", "typescript"])
@pytest.mark.parametrize(
    ("source", "measure", "found"),
    [
        ("a = 1\n" * 10_000, "nodes", None),
        ("a = " + "[" * 150 + "]" * 150, "depth", None),
        (f"a = '{'x' * 5_000}'", "line", 5_006),
    ],
)
def test_a_script_beyond_a_limit_is_refused_with_what_was_found(
    source: str, measure: str, found: int | None, language: str
) -> None:
    with pytest.raises(ScriptTooComplex) as caught:
        read(source, language)
    fields = caught.value.fields
    assert fields["measure"] == measure
    assert fields["found"] > fields["limit"]
    assert found in (None, fields["found"])


def test_limits_are_the_deployments() -> None:
    limits = ScriptLimits(nodes=10, depth=3, line=20)
    assert read("a = 1", "javascript", Bounds(script_limits=limits)).steps
    with pytest.raises(ScriptTooComplex):
        read("a = [[[1]]]", "javascript", Bounds(script_limits=limits))


def test_plain_scripts_are_far_from_every_limit() -> None:
    else_ifs = "if (a === 0) { b(); }" + "".join(f" else if (a === {n}) {{ b(); }}" for n in range(40))
    assert read(f"const a = 1;\nfunction b() {{}}\n{else_ifs}", "javascript").steps
    elifs = "a = 1\nif a == 0:\n    pass\n" + "".join(f"elif a == {n}:\n    pass\n" for n in range(60))
    assert read(elifs, "python").steps
    sums = "a = " + " + ".join(f'"{n}"' for n in range(100))
    assert read(sums, "python").steps
    assert read(sums, "typescript").steps
    lines = "const row = { day: 1, price: 2.5, name: 'x' };\n".replace("row", "row{}")
    assert read("".join(lines.replace("{}", str(n)) for n in range(800)), "typescript").steps


@pytest.mark.parametrize("source", ["(" * 100_000, "{\n" * 100_000, "`${" * 50_000, "<\n" * 100_000])
def test_a_text_made_to_tire_the_parser_is_refused_like_any_other(source: str) -> None:
    with pytest.raises((ScriptSyntaxInvalid, ScriptTooComplex)):
        read(source, "typescript")
