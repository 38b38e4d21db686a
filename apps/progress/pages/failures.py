"""/rollbacks, /rollbacks/{id} and /dead-letters: what failed, what it took along, and trying it again."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from apps.accounts.data import Scope
from apps.kernel.ids import to_wire
from apps.progress.domain.words import explain
from apps.progress.pages.page import Page, noticed, read_wire, see
from apps.progress.pages.viewer import Viewer
from apps.progress.selectors import get_run
from apps.progress.undone import letter_document, rollback_document, rollback_summary
from apps.rollback.data import LetterFilter, RollbackPhase
from apps.rollback.models import DeadLetter
from apps.rollback.selectors import (
    get_dead_letter,
    get_dead_letters,
    get_rollback,
    get_rollback_items,
    get_rollbacks,
)
from apps.rollback.services import dead_letter_replay
from apps.tasks.data import FailureReason

PAGE_ROWS: Final = 25


class RollbacksPage(Page):
    """The rollbacks of the viewer's projects, newest first."""

    nav = "rollbacks"

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page of rollbacks; `?reason=` narrows it, `?before=rbk_…` goes on.

        Signals about something that was over changed nothing and are left out.
        """
        wanted = request.GET.get("reason", "")
        reason = FailureReason(wanted) if wanted in set(FailureReason) else None
        rows = get_rollbacks(self.viewer.project_ids, reason=reason).exclude(phase=RollbackPhase.DISMISSED)
        before = request.GET.get("before")
        if before:
            rows = rows.filter(pk__lt=read_wire("rbk", before))
        found = list(rows[: PAGE_ROWS + 1])
        page = found[:PAGE_ROWS]
        return self.show(
            "rollbacks.html",
            rollbacks=[rollback_summary(row) for row in page],
            reasons=[str(each) for each in FailureReason],
            reason=reason,
            is_first=not before,
            next_before=str(page[-1]) if len(found) > PAGE_ROWS else None,
            has_filter=reason is not None or before,
        )


class RollbackPage(Page):
    """One rollback: root cause, the way it took, each victim, what follows."""

    nav = "rollbacks"

    def get(self, request: HttpRequest, rollback_id: str) -> HttpResponse:
        """All of it; a fixed number of queries."""
        row = get_rollback(read_wire("rbk", rollback_id), self.viewer.visible_ids)
        document = rollback_document(row, *get_rollback_items(row))
        letters = DeadLetter.objects.filter(rollback=row).select_related("task")
        run = get_run(row.run_id, self.viewer.visible_ids)
        return self.show(
            "rollback.html",
            rollback=document,
            levels=_levels(document["items"]),
            explanation=explain(row.error_code),
            job=run.job.name,
            project=next((each for each in self.viewer.projects if each.id == row.project_id), None),
            letters=[_shown(letter, self.viewer) for letter in letters],
        )


class DeadLettersPage(Page):
    """The dead letters of the viewer's projects, newest first."""

    nav = "dead-letters"

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page of letters: those that wait, or `?show=all`; `?before=dl_…` goes on."""
        show = "all" if request.GET.get("show") == "all" else "waiting"
        chosen = LetterFilter(is_waiting=True) if show == "waiting" else LetterFilter()
        rows = get_dead_letters(self.viewer.project_ids, chosen)
        before = request.GET.get("before")
        if before:
            rows = rows.filter(pk__lt=read_wire("dl", before))
        found = list(rows[: PAGE_ROWS + 1])
        page = found[:PAGE_ROWS]
        return self.show(
            "dead_letters.html",
            letters=[_shown(letter, self.viewer) for letter in page],
            show=show,
            is_first=not before,
            next_before=str(page[-1]) if len(found) > PAGE_ROWS else None,
        )


class ReplayPage(Page):
    """The form behind “Replay”."""

    http_method_names = ["post"]

    @noticed("dead-letters-page", takes_ids=False)
    def post(self, request: HttpRequest, letter_id: str) -> HttpResponse:
        """Open the step again and go to its run."""
        letter = get_dead_letter(read_wire("dl", letter_id), self.viewer.visible_ids)
        self.require(Scope.RUNS_WRITE, letter.project_id)
        dead_letter_replay(letter_id=letter.id, project_ids=None, actor=self.viewer.caller.name)
        messages.success(request, f"{letter.task.step_key} is tried again.")
        return see("run-page", run_id=to_wire("run", letter.run_id))


def _shown(letter: DeadLetter, viewer: Viewer) -> dict[str, Any]:
    return {**letter_document(letter), "may_replay": viewer.may(Scope.RUNS_WRITE, letter.project_id)}


def _levels(items: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The parts by how far from the root they lie."""
    levels: dict[int, list[Mapping[str, Any]]] = {}
    for item in items:
        levels.setdefault(max(1, len(item["way"])), []).append(item)
    return [levels[distance] for distance in sorted(levels)]
