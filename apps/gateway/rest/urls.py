"""The routes of projects, keys, events and the ledger, under /api/v1/."""

from django.urls import path

from apps.gateway.rest.event_views import EventList
from apps.gateway.rest.key_views import KeyDetail, KeyList, KeyRevoke
from apps.gateway.rest.ledger_views import Balances, StatementList
from apps.gateway.rest.project_views import ProjectDetail, ProjectList

urlpatterns = [
    path("projects", ProjectList.as_view(), name="project-list"),
    path("projects/<str:project_id>", ProjectDetail.as_view(), name="project-detail"),
    path("keys", KeyList.as_view(), name="key-list"),
    path("keys/<str:key_id>", KeyDetail.as_view(), name="key-detail"),
    path("keys/<str:key_id>/revoke", KeyRevoke.as_view(), name="key-revoke"),
    path("events", EventList.as_view(), name="event-list"),
    path("ledger/statement", StatementList.as_view(), name="ledger-statement"),
    path("ledger/balances", Balances.as_view(), name="ledger-balances"),
]
