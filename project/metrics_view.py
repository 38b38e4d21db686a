"""/metrics: not public; it answers the operator's session or an operator's API key."""

from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from prometheus_client import CONTENT_TYPE_LATEST

from apps.accounts.data import Scope
from apps.accounts.errors import Unauthenticated
from apps.accounts.services import authenticate
from project.errors import PROBLEM_JSON, problem_body
from project.metrics import metrics_text
from project.metrics_rows import RowGauges

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="forekeep"'}


def metrics(request: HttpRequest) -> HttpResponse:
    """The Prometheus text of all processes and what rows say now; 401 for anybody but the operator."""
    if not _is_operator(request):
        body = problem_body(401, Unauthenticated.code, "The operator's session or key is needed")
        return JsonResponse(body, status=401, content_type=PROBLEM_JSON, headers=_CHALLENGE)
    return HttpResponse(metrics_text(RowGauges()), content_type=CONTENT_TYPE_LATEST)


def _is_operator(request: HttpRequest) -> bool:
    if request.user.is_superuser:
        return True
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    try:
        return Scope.OPERATOR in authenticate(secret.strip(), now=timezone.now()).scopes
    except Unauthenticated:
        return False
