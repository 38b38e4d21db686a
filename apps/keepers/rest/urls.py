"""The routes of keepers, under /api/v1/, and the short paths keepers know."""

from django.urls import path

from apps.keepers.rest.views import (
    KeeperCheckIn,
    KeeperDetail,
    KeeperList,
    KeeperRegister,
    KeeperReinstate,
    KeeperRetire,
    KeeperSuspend,
)

urlpatterns = [
    path("keepers", KeeperList.as_view(), name="keeper-list"),
    path("keepers/register", KeeperRegister.as_view(), name="keeper-register"),
    path("keepers/checkin", KeeperCheckIn.as_view(), name="keeper-checkin"),
    path("keepers/<str:address>", KeeperDetail.as_view(), name="keeper-detail"),
    path("keepers/<str:address>/suspend", KeeperSuspend.as_view(), name="keeper-suspend"),
    path("keepers/<str:address>/reinstate", KeeperReinstate.as_view(), name="keeper-reinstate"),
    path("keepers/<str:address>/retire", KeeperRetire.as_view(), name="keeper-retire"),
]

alias_urlpatterns = [
    path("keeper/register", KeeperRegister.as_view(), name="keeper-register-alias"),
    path("keeper/checkin", KeeperCheckIn.as_view(), name="keeper-checkin-alias"),
]
