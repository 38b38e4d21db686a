"""What the operator's pages of the pipeline share: they look, they search by any id, they never edit.

What may be done to rows from their list is added by the app whose service does it (`list_action`), which may
lie above the rows' own.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from apps.kernel.errors import DomainError, Invalid
from apps.kernel.ids import from_wire

#: what an action does to one row for the named operator; it may refuse with a DomainError
RowAction = Callable[[Any, str], object]
_actions: defaultdict[type[Model], dict[str, tuple[Callable[..., None], str, str]]] = defaultdict(dict)


def list_action(model: type[Model], *, description: str, done: str) -> Callable[[RowAction], RowAction]:
    """Let operators do something to chosen rows of a LookOnlyAdmin.

    The notice says how many were `done`. What a row's service refuses is told with its title; the others are
    done all the same.
    """

    def add(act: RowAction) -> RowAction:
        def run(page: Any, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
            count = 0
            for row in queryset:
                try:
                    act(row, request.user.get_username())
                except DomainError as exc:
                    messages.error(request, f"{row}: {exc.title}")
                    continue
                count += 1
            if count:
                messages.success(request, f"{count} {done}")

        _actions[model][act.__name__] = (run, act.__name__, description)
        return act

    return add


class LookOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows that only the pipeline's services write.

    `wire_searches` says which filter a wire id of a kind stands for (`{"task": "pk"}`); a bare trace id
    is looked up by `trace_search` where one is set.
    """

    wire_searches: ClassVar[dict[str, str]] = {}
    trace_search: ClassVar[str] = ""
    hidden: ClassVar[tuple[str, ...]] = ("event_sequence", "event_head")
    links: ClassVar[tuple[str, ...]] = ()
    search_fields = ("pk__exact",)
    search_help_text = "A whole id (run_…, task_…, rnd_…, bat_…), an address, or a trace id"
    show_full_result_count = False
    list_per_page = 50

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Every column but the event store's own, then the links."""
        columns = [field.name for field in self.model._meta.fields if field.name not in self.hidden]
        return [*columns, *self.links]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """All of them."""
        return self.get_fields(request, obj)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> tuple["QuerySet[Any]", bool]:
        """Rows whose id, address or trace is the term; no search by parts, which no index would serve."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(self._search(term)), False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Django's own, and those that apps above have added for whoever may change rows."""
        actions: dict[str, Any] = super().get_actions(request)
        return {**actions, **_actions[self.model]} if self.has_change_permission(request) else actions

    def _search(self, term: str) -> Q:
        kind = term.partition("_")[0]
        try:
            if kind in self.wire_searches:
                return Q(**{self.wire_searches[kind]: from_wire(kind, term)})
        except Invalid:
            return Q(pk__in=())
        if term.startswith("0x"):
            return self.address_search(term.lower())
        if self.trace_search and len(term) == 32:
            return Q(**{self.trace_search: term})
        return Q(pk__in=())

    def address_search(self, address: str) -> Q:
        """What an address or a hash stands for; nothing unless a subclass says so."""
        return Q(pk__in=())

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows come from what happens."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Looked at in detail, never edited; the list's actions need the permission."""
        return obj is None and bool(super().has_change_permission(request))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """History stays."""
        return False


#: how the admin theme shows a link
LINK: Final = "text-primary-600 dark:text-primary-500"


def link_to(row: Model | None, text: str | None = None) -> SafeString | str:
    """A link to a row's own page in the admin."""
    if row is None:
        return "-"
    place = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return format_html(
        '<a class="{}" href="{}">{}</a>', LINK, reverse(place, args=(row.pk,)), text or str(row)
    )


def links_to(rows: Iterable[Model]) -> SafeString | str:
    """Links to several rows, one under the other."""
    return format_html_join("", "<div>{}</div>", ((link_to(row),) for row in rows)) or "-"


def link_to_events(aggregate: str, row: Any) -> SafeString:
    """A link to every event of one row."""
    address = reverse("admin:eventlog_event_changelist")
    query = f"aggregate_type__exact={aggregate}&q={row.aggregate_id}"
    return format_html('<a class="{}" href="{}?{}">{} events</a>', LINK, address, query, row.event_sequence)


@admin.display(description="id", ordering="pk")
def wire_id(row: Any) -> str:
    """The row's id as the API spells it."""
    return str(row)
