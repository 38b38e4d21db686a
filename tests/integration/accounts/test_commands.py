"""`manage.py api_key_create`."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.accounts.data import Scope
from apps.accounts.services import authenticate

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("api_key_create", *arguments, stdout=out)
    return out.getvalue().strip()


def test_the_command_prints_a_secret_that_authenticates(project):
    secret = run("--project", project.slug, "--name", "from the shell", "--scope", "jobs:read")
    identity = authenticate(secret, now=timezone.now())
    assert (identity.project_id, identity.scopes) == (project.id, frozenset({Scope.JOBS_READ}))


def test_the_command_issues_an_operators_key_as_json():
    answer = json.loads(run("--operator", "--name", "operator", "--json"))
    identity = authenticate(answer["secret"], now=timezone.now())
    assert identity.scopes == {Scope.OPERATOR}
    assert answer["id"].startswith("key_")


@pytest.mark.parametrize(
    "arguments",
    [("--project", "nowhere", "--name", "x"), ("--operator", "--name", "x", "--scope", "jobs:eat")],
)
def test_the_command_says_in_one_line_what_is_wrong(arguments):
    with pytest.raises(CommandError):
        run(*arguments)


def test_an_unknown_scope_is_named_with_those_there_are(project):
    with pytest.raises(CommandError, match=r"^No such scope: scope jobs:eat\. Known: .*jobs:read"):
        run("--project", project.slug, "--name", "x", "--scope", "jobs:eat")
