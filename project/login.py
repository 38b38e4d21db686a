"""Logging in, with a brake on guessing: five wrong passwords for a name, or from an address, then a wait."""

from typing import Any, Final

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, redirect_to_login
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url

from apps.gateway.rest.login_tries import tries_count, tries_forgive

_WAIT: Final = "wait"


class LoginForm(AuthenticationForm):
    """Django's, which refuses further tries before it looks at a password."""

    retry_after_seconds: int = 0

    def clean(self) -> dict[str, Any]:
        """The cleaned data; ValidationError for a wrong password and for one try too many."""
        name = str(self.cleaned_data.get("username", ""))
        address = self.request.META.get("REMOTE_ADDR", "") if self.request is not None else ""
        self.retry_after_seconds = tries_count(name, address)
        if self.retry_after_seconds:
            minutes = -(-self.retry_after_seconds // 60)
            plural = "" if minutes == 1 else "s"
            raise ValidationError(
                f"Too many wrong passwords. Try again in {minutes} minute{plural}.", code=_WAIT
            )
        cleaned: dict[str, Any] = super().clean()
        tries_forgive(name, address)
        return cleaned


class Login(LoginView):
    """The one page where people log in; 429 with Retry-After where they have to wait."""

    template_name = "login.html"
    redirect_authenticated_user = True
    authentication_form = LoginForm

    def form_invalid(self, form: Any) -> HttpResponse:
        """The page again with what is wrong."""
        response = super().form_invalid(form)
        if form.retry_after_seconds:
            response.status_code = 429
            response.headers["Retry-After"] = str(form.retry_after_seconds)
        return response


def admin_login(request: HttpRequest) -> HttpResponse:
    """Send who comes for the admin to the one page; 403 for a person who may not see it."""
    if request.user.is_authenticated:
        raise PermissionDenied
    return redirect_to_login(request.GET.get("next") or resolve_url("admin:index"))
