"""The contracts run on a real EVM: one private anvil per test process, undone after every test."""

from tests.support.chain import anvil, chain, deployed

__all__ = ["anvil", "chain", "deployed"]
