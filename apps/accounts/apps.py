"""The accounts app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Projects, who belongs to them, and the API keys that act for them."""

    name = "apps.accounts"
    label = "accounts"
    verbose_name = "Projects and keys"
