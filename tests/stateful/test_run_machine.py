"""Random lives of whole runs over the pure rules: failures, retries, lost, late and repeated words.

The explorer walks every state of the smallest runs; this walks some of larger ones. Invariants 2 to 15 and 18
are asked by the model at every step, and at the end that everything ended.
"""

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.model.drawing import draw_setting
from tests.model.explorer import Explorer
from tests.model.world import start


class RunMachine(RuleBasedStateMachine):
    """One run of up to seven tasks, and whatever befalls it."""

    @initialize(seed=st.integers(0, 2**32), size=st.integers(2, 7))
    def open(self, seed, size):
        self.explorer = Explorer(draw_setting(random.Random(seed), size))
        self.state = self.explorer.pack(start(self.explorer.setting), self.explorer.setting.faults)
        self.rng = random.Random(seed)

    @rule(steps=st.integers(1, 40), pick=st.integers(0, 2**32))
    def happen(self, steps, pick):
        rng = random.Random(pick)
        for _ in range(steps):
            following = self.explorer.successors(self.state)
            if not following:
                return
            self.state = rng.choice(following)

    @invariant()
    def the_state_is_sound(self):
        if hasattr(self, "explorer"):
            self.explorer.successors(self.state)

    def teardown(self):
        """Left alone, a run ends."""
        if not hasattr(self, "explorer"):
            return
        for _ in range(2_000):
            following = self.explorer.successors(self.state)
            if not following:
                return
            self.state = self.rng.choice(following)
        raise AssertionError("the run goes on for ever")


TestRuns = RunMachine.TestCase
TestRuns.settings = settings(max_examples=30, stateful_step_count=10, deadline=None)
