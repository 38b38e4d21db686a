"""The routes of webhooks, deliveries and alert targets, under /api/v1/."""

from django.urls import path

from apps.notices.rest.target_views import TargetDetail, TargetList, TargetTest
from apps.notices.rest.webhook_views import (
    DeliveriesReplay,
    DeliveryDetail,
    DeliveryList,
    DeliveryReplay,
    WebhookDetail,
    WebhookList,
    WebhookRotate,
    WebhookTest,
)

urlpatterns = [
    path("webhooks", WebhookList.as_view(), name="webhook-list"),
    path("webhooks/<str:webhook_id>", WebhookDetail.as_view(), name="webhook-detail"),
    path("webhooks/<str:webhook_id>/rotate-secret", WebhookRotate.as_view(), name="webhook-rotate"),
    path("webhooks/<str:webhook_id>/test", WebhookTest.as_view(), name="webhook-test"),
    path("webhooks/<str:webhook_id>/deliveries", DeliveryList.as_view(), name="webhook-deliveries"),
    path("webhooks/<str:webhook_id>/replay", DeliveriesReplay.as_view(), name="webhook-replay"),
    path("deliveries/<str:delivery_id>", DeliveryDetail.as_view(), name="delivery-detail"),
    path("deliveries/<str:delivery_id>/replay", DeliveryReplay.as_view(), name="delivery-replay"),
    path("alert-targets", TargetList.as_view(), name="alert-target-list"),
    path("alert-targets/<str:target_id>", TargetDetail.as_view(), name="alert-target-detail"),
    path("alert-targets/<str:target_id>/test", TargetTest.as_view(), name="alert-target-test"),
]
