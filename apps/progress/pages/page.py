"""What every page shares: a logged-in viewer, the frame around the content, errors as pages or notices."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.mixins import AccessMixin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views import View

from apps.accounts.data import Scope
from apps.eventlog.domain.actor import set_current_actor
from apps.eventlog.selectors import get_database_now
from apps.kernel.errors import DomainError, Invalid, NotFound
from apps.kernel.ids import from_wire
from apps.kernel.trace import current_trace
from apps.progress.domain.frames import to_rfc3339
from apps.progress.pages.viewer import Viewer, get_viewer


class Page(AccessMixin, View):
    """A page for people with a session; the others are sent to log in. `nav` names its place."""

    nav = ""
    viewer: Viewer

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Find out who is looking, then answer; what is not found or not theirs is a 404."""
        if not request.user.is_authenticated:
            return self.handle_no_permission()
        self.viewer = get_viewer(request)
        set_current_actor(user=self.viewer.caller.name, ip=request.META.get("REMOTE_ADDR"))
        try:
            return super().dispatch(request, *args, **kwargs)
        except NotFound as exc:
            raise Http404(exc.title) from exc

    def show(self, template: str, **context: Any) -> HttpResponse:
        """The template within the frame."""
        frame = {
            "nav": self.nav,
            "viewer": self.viewer,
            "flower_url": settings.FOREKEEP.web.flower_url,
            "now": to_rfc3339(get_database_now()),
        }
        return render(self.request, template, {**frame, **context})

    def require(self, scope: Scope, project_id: Any) -> None:
        """Raise PermissionDenied unless the viewer holds the scope in the project."""
        if not self.viewer.may(scope, project_id):
            raise PermissionDenied


def read_wire(kind: str, text: str) -> Any:
    """A wire id from a page's address; a malformed one is a page that does not exist."""
    try:
        return from_wire(kind, text)
    except Invalid as exc:
        raise Http404(exc.title) from exc


Post = Callable[..., HttpResponse]


def noticed(back: str, *, takes_ids: bool = True) -> Callable[[Post], Post]:
    """A form's handler whose refusals become a notice on the page named `back`, not an error page.

    `takes_ids`: that page is about the same thing as the form.
    """

    def decorate(handler: Post) -> Post:
        @wraps(handler)
        def handle(page: Page, request: HttpRequest, **kwargs: str) -> HttpResponse:
            try:
                return handler(page, request, **kwargs)
            except NotFound:
                raise
            except DomainError as exc:
                trace_id = current_trace().trace_id
                facts = "; ".join(f"{name} {value}" for name, value in exc.fields.items())
                said = f"{exc.title}: {facts}" if facts else exc.title
                messages.error(request, f"{said}. ({exc.code}, trace {trace_id})")
                ids = {name: value for name, value in kwargs.items() if takes_ids and name != "action"}
                return see(back, **ids)

        return handle

    return decorate


class SeeOther(HttpResponseRedirect):
    """303: after a form, a reload repeats nothing."""

    status_code = 303


def see(name: str, **kwargs: str) -> HttpResponse:
    """Send the browser on to a named page."""
    return SeeOther(reverse(name, kwargs=kwargs))
