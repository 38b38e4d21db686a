"""The beat schedule in the admin's own look."""

from django.contrib import admin
from django_celery_beat.admin import ClockedScheduleAdmin as ClockedForms
from django_celery_beat.admin import CrontabScheduleAdmin as CrontabForms
from django_celery_beat.admin import PeriodicTaskAdmin as PeriodicTaskForms
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin

for model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(model)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(PeriodicTaskForms, ModelAdmin):
    """What beat sends, and when."""


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ModelAdmin):
    """Every so many seconds."""


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(CrontabForms, ModelAdmin):
    """At the times of a cron line."""


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(ClockedForms, ModelAdmin):
    """At one instant."""


@admin.register(SolarSchedule)
class SolarScheduleAdmin(ModelAdmin):
    """At sunrise and the like."""
