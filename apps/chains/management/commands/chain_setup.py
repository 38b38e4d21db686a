"""Set the network up on the configured chain; again it changes nothing."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.chains.client import ChainClient
from apps.chains.data import Deployment, project_word
from apps.chains.deploy import (
    ensure_committee_size,
    ensure_deployed,
    ensure_deposit,
    ensure_keepers,
    ensure_submitters,
    fund_local,
)
from apps.chains.keys import AccountKey, read_account, read_accounts, read_keystore
from apps.chains.selectors import open_client
from apps.chains.services import senders_ensure
from apps.kernel.amounts import WEI_PER_UNIT
from apps.kernel.errors import DomainError
from apps.kernel.ids import from_wire


class Command(BaseCommand):
    """`manage.py chain_setup`: contracts, submitters, the keepers whose keystores are here, deposits."""

    help = "Deploy the contracts once, allow the submitters, register the local keepers, pay deposits in."

    def add_arguments(self, parser: CommandParser) -> None:
        """Deposits are for named projects."""
        parser.add_argument("--project", action="append", default=[], help="pay a deposit for proj_…")
        parser.add_argument("--deposit-units", type=int, default=100_000_000_000, help="units per project")
        parser.add_argument(
            "--again", action="store_true", help="pay in also where the project has a deposit already"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do each step that is missing; a domain error ends the command with its facts."""
        try:
            self._set_up(
                options.get("project") or [], options.get("deposit_units") or 0, bool(options.get("again"))
            )
        except DomainError as exc:
            raise CommandError(f"{exc.title}: {exc}") from exc

    def _set_up(self, projects: list[str], deposit_units: int, is_again: bool) -> None:
        tree = settings.FOREKEEP
        client = open_client()
        deployer = read_account(tree.chain.dispatcher_key_file)
        submitters = read_accounts(tree.chain.submitter_key_files)
        keepers = [read_keystore(path) for path in _keystores(tree.home)]
        addresses = [account.address for account in (deployer, *submitters)]
        fund_local(client, [*addresses, *(keeper.address for keeper in keepers)])

        stake_wei = tree.keepers.min_stake_units * WEI_PER_UNIT
        deployment, is_new = ensure_deployed(
            client,
            deployer,
            tree.chain.deployment_file,
            min_stake_wei=stake_wei,
            committee_size=tree.attestation.committee_size,
        )
        self.stdout.write(f"hub {deployment.hub} ({'deployed' if is_new else 'already there'})")
        ensure_committee_size(client, deployer, deployment, tree.attestation.committee_size)
        ensure_submitters(client, deployer, deployment, [account.address for account in submitters])
        registered = ensure_keepers(client, deployment, keepers, stake_wei=stake_wei)
        self.stdout.write(f"{len(keepers)} keepers, {len(registered)} registered now")
        self._prepare_senders(client, deployment, submitters)
        self._deposit(client, deployment, deployer, projects, deposit_units, is_again)

    def _prepare_senders(
        self, client: ChainClient, deployment: Deployment, submitters: tuple[AccountKey, ...]
    ) -> None:
        addresses = [account.address for account in submitters]
        senders_ensure(
            addresses=addresses, chain_id=deployment.chain_id, mined_nonces=client.get_nonces(addresses)
        )

    def _deposit(
        self,
        client: ChainClient,
        deployment: Deployment,
        payer: AccountKey,
        projects: list[str],
        units: int,
        is_again: bool,
    ) -> None:
        for text in projects:
            paid = ensure_deposit(
                client,
                deployment,
                payer,
                project_word(from_wire("proj", text)),
                units * WEI_PER_UNIT,
                is_again=is_again,
            )
            outcome = f"{units} units paid in" if paid else "has a deposit (--again pays in another one)"
            self.stdout.write(f"{text}: {outcome}")


def _keystores(home: Path) -> list[Path]:
    return sorted(home.glob("keepers/*/keystore.json"), key=lambda path: path.parent.name.zfill(8))
