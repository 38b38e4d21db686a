"""Small values of the chains app."""

from uuid import UUID

from apps.chains.data import Deployment, KeeperStanding, project_word

ADDRESS = "0x" + "01" * 20


def test_a_projects_word_is_its_uuid_left_padded():
    assert project_word(UUID(int=258)) == bytes(30) + b"\x01\x02"


def test_messages_are_bound_to_the_deployments_hub():
    names = ("registry", "escrow", "price_board", "alarm_board")
    deployment = Deployment(chain_id=5, hub=ADDRESS, block=1, **dict.fromkeys(names, "0x" + "02" * 20))
    assert deployment.typed_domain.chain_id == 5
    assert deployment.typed_domain.contract == ADDRESS


def test_a_stake_is_rounded_down_to_units():
    standing = KeeperStanding(
        address=ADDRESS,
        stake_wei=10**9 + 10**9 - 1,
        is_active=True,
        withdrawable_at=0,
        key_hash=b"",
        public_key=b"",
    )
    assert standing.stake_units == 1
