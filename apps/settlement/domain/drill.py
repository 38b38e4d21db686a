"""A fire drill: a proof that was made and verified, damaged so that the chain rejects it for real."""

from apps.chains.domain.settlement_abi import ProofWords


def damage(words: ProofWords) -> ProofWords:
    """The proof's words with the last bit of the last one turned over: no point of the curve any more."""
    a, b, c, d, e, f, g, h = words
    return a, b, c, d, e, f, g, h ^ 1
