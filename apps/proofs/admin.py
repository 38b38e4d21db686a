"""The operator's page for proofs."""

from django.contrib import admin
from django.utils.safestring import SafeString

from apps.proofs.models import Proof
from apps.tasks.operator_pages import LookOnlyAdmin, link_to, wire_id


@admin.register(Proof)
class ProofAdmin(LookOnlyAdmin):
    """Proofs, what they cost, and what they wait for."""

    list_display = (
        wire_id,
        "task",
        "epoch",
        "status",
        "circuit",
        "depth",
        "queued_at",
        "generated_at",
        "cpu_seconds",
        "delay_seconds",
        "reason",
    )
    list_filter = ("status", "circuit", "reason")
    list_select_related = ("task",)
    ordering = ("-id",)
    wire_searches = {"prf": "pk", "task": "task_id", "run": "task__run_id"}
    trace_search = "task__run__trace_id"
    links = ("task_link", "run_link")

    @admin.display(description="task")
    def task_link(self, proof: Proof) -> SafeString | str:
        """The task it is of."""
        return link_to(proof.task)

    @admin.display(description="run")
    def run_link(self, proof: Proof) -> SafeString | str:
        """The run of that task."""
        return link_to(proof.task.run)
