"""Let the network's hub check proofs: keys, a verifier per circuit, whether a proof is required."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.chains.deploy import ensure_proofs_required, ensure_verifiers
from apps.chains.keys import read_account
from apps.chains.selectors import get_deployment, open_client
from apps.kernel.errors import DomainError
from apps.proofs.keys import ensure_keys


class Command(BaseCommand):
    """`manage.py proofs_setup`: after `chain_setup`; does what is missing, so again it changes nothing."""

    help = "Make missing proving keys, deploy and register their verifiers, tell the hub what it requires."

    def handle(self, *args: Any, **options: Any) -> None:
        """Do each step that is missing; a domain error ends the command with its facts."""
        try:
            self._set_up()
        except DomainError as exc:
            raise CommandError(f"{exc.title}: {exc}") from exc

    def _set_up(self) -> None:
        tree = settings.FOREKEEP
        client, deployment = open_client(), get_deployment()
        client.require_chain(deployment.chain_id)
        deployer = read_account(tree.chain.dispatcher_key_file)

        made = {size: ensure_keys(tree.proofs.keys_folder, size) for size in tree.proofs.circuit_sizes}
        keys = {size: (key.words, key.compute_hash()) for size, key in made.items()}
        path = tree.chain.deployment_file
        deployment, new = ensure_verifiers(client, deployer, path, deployment, keys)
        for one in deployment.verifiers:
            state = "deployed" if one.circuit in new else "already there"
            self.stdout.write(f"circuit {one.circuit}: verifier {one.address} ({state})")

        is_required = tree.proofs.is_required
        ensure_proofs_required(client, deployer, deployment, is_required)
        self.stdout.write(f"proofs are {'required' if is_required else 'not required'}")
