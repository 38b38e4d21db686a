"""The suite notices faults: each seeded one is caught by the test that is named for it."""

import subprocess
import sys

import pytest

from tests.model.faults import MUTANTS
from tests.model.mutants import ROOT, mutate


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_seeded_fault_changes_one_place_of_the_source(mutant):
    assert mutate(mutant) != (ROOT / mutant.file).read_text()


def test_every_seeded_fault_is_caught_by_the_test_named_for_it():
    done = subprocess.run(
        [sys.executable, "-m", "tests.model.mutants"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert f"{len(MUTANTS)} of {len(MUTANTS)} faults killed" in done.stdout
