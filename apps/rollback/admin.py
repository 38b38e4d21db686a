"""The operator's pages for rollbacks and dead letters, and what may be done by hand: stop, try again."""

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from apps.rollback.models import DeadLetter, Rollback
from apps.rollback.services import dead_letter_replay, run_cancel
from apps.tasks.models import Run
from apps.tasks.operator_pages import LookOnlyAdmin, link_to, link_to_events, list_action, wire_id


@list_action(Run, description="Cancel what has not reached its settlement", done="runs are being cancelled")
def cancel(run: Run, operator: str) -> object:
    """Stop a run."""
    return run_cancel(run_id=run.id, project_ids=None, actor=operator)


@list_action(DeadLetter, description="Try the failed tasks again", done="dead letters were replayed")
def replay(letter: DeadLetter, operator: str) -> object:
    """Open a failed task, and what it took along, again."""
    return dead_letter_replay(letter_id=letter.id, project_ids=None, actor=operator)


@admin.register(Rollback)
class RollbackAdmin(LookOnlyAdmin):
    """Failures and stops by hand, and what they undid."""

    list_display = (
        wire_id,
        "root",
        "reason",
        "phase",
        "size",
        "depth",
        "slashed_units",
        "wasted_units",
        "recovery",
        "is_retried",
        "detected_at",
        "completed_at",
    )
    list_filter = ("reason", "phase", "recovery", "is_retried")
    list_select_related = ("root",)
    ordering = ("-id",)
    wire_searches = {
        "rbk": "pk",
        "dl": "dead_letter",
        "task": "items__task_id",
        "run": "run_id",
        "proj": "project_id",
    }
    trace_search = "trace_id"
    links = ("root_link", "run_link", "item_links", "letter_link", "history_link")

    def address_search(self, address: str) -> Q:
        """The rollbacks that slashed a keeper."""
        return Q(slashed_keeper=address)

    @admin.display(description="root")
    def root_link(self, rollback: Rollback) -> SafeString | str:
        """The task that failed."""
        return link_to(rollback.root)

    @admin.display(description="run")
    def run_link(self, rollback: Rollback) -> SafeString | str:
        """The run it happened in."""
        return link_to(rollback.run)

    @admin.display(description="tasks")
    def item_links(self, rollback: Rollback) -> SafeString | str:
        """What it did to each task, the root first."""
        items = rollback.items.select_related("task").defer("task__spec", "task__result")
        lines = (
            (link_to(item.task, item.task.step_key), item.previous, item.target, item.slashed_units)
            for item in items.order_by("-position")[:200]
        )
        return format_html_join("", "<div>{}: {} → {}, slashed {}</div>", lines) or "-"

    @admin.display(description="dead letter")
    def letter_link(self, rollback: Rollback) -> SafeString | str:
        """What a person may replay."""
        return link_to(getattr(rollback, "dead_letter", None))

    @admin.display(description="history")
    def history_link(self, rollback: Rollback) -> SafeString:
        """Its events."""
        return link_to_events("rollback", rollback)


@admin.register(DeadLetter)
class DeadLetterAdmin(LookOnlyAdmin):
    """Failed attempts; the last one of a task may be replayed."""

    list_display = (
        wire_id,
        "task",
        "stage",
        "reason",
        "error_code",
        "attempts",
        "dependents",
        "is_final",
        "failed_at",
        "replayed_at",
    )
    list_filter = ("is_final", ("replayed_at", admin.EmptyFieldListFilter), "reason", "stage")
    list_select_related = ("task",)
    ordering = ("-id",)
    wire_searches = {
        "dl": "pk",
        "rbk": "rollback_id",
        "task": "task_id",
        "run": "run_id",
        "proj": "project_id",
    }
    trace_search = "rollback__trace_id"
    links = ("task_link", "run_link", "rollback_link", "history_link")

    @admin.display(description="task")
    def task_link(self, letter: DeadLetter) -> SafeString | str:
        """The task that failed."""
        return link_to(letter.task)

    @admin.display(description="run")
    def run_link(self, letter: DeadLetter) -> SafeString | str:
        """The run it is part of."""
        return link_to(letter.run)

    @admin.display(description="rollback")
    def rollback_link(self, letter: DeadLetter) -> SafeString | str:
        """What it took along."""
        return link_to(letter.rollback)

    @admin.display(description="history")
    def history_link(self, letter: DeadLetter) -> SafeString:
        """Its events."""
        return link_to_events("dead_letter", letter)
