"""Alerts: to a project's targets and to keepers' own contacts, once each, by mail and by apprise."""

from datetime import timedelta

import pytest
from apprise import NotifyBase
from apprise.plugins.telegram import NotifyTelegram

from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.keepers.models import Keeper
from apps.keepers.services import keepers_sweep_offline
from apps.notices.errors import TargetInvalid
from apps.notices.models import Alert, AlertTarget
from apps.notices.services import AppriseSender, alerts_send, target_create, target_test
from project.keeper_ports import NoticeAlerts
from tests.factories.keepers import make_keeper
from tests.factories.notices import FakeAlerts, collect, happen, with_notices
from tests.support.smtp_sink import mail_sink

pytestmark = pytest.mark.django_db

TOKEN = "123456789:AAabcdefghijklmnopqrstuvwxyz123456789"
TELEGRAM = f"tgram://{TOKEN}/12315544"


def send(sender=None):
    return dict(alerts_send(now=get_database_now(), sender=sender or AppriseSender()).outcomes)


def test_a_project_is_alerted_of_what_a_person_should_look_at_once(project):
    target_create(project_id=project.id, label="on call", url=TELEGRAM)
    happen(project, "run.failed", "run.confirmed", "job.paused")
    happen(project, "job.paused", reason="failures")
    collect()
    sender = FakeAlerts()

    assert send(sender) == {"sent": 2}
    assert send(sender) == {}

    assert [alert.title for alert in sender.sent] == ["Forekeep: Run failed", "Forekeep: Job paused"]
    assert "reason: failures" in sender.sent[1].body
    assert sender.sent[0].url == TELEGRAM
    assert AlertTarget.objects.get().last_sent_at is not None


def test_an_alert_that_is_not_taken_is_tried_again_and_then_given_up(project, settings):
    with_notices(settings, attempts=2)
    target_create(project_id=project.id, label="on call", url=TELEGRAM)
    happen(project, "run.failed")
    collect()

    assert send(FakeAlerts("not_taken")) == {"retried": 1}
    Alert.objects.update(next_at=get_database_now() - timedelta(seconds=1))
    assert send(FakeAlerts("not_taken")) == {"failed": 1}
    assert AlertTarget.objects.get().last_error == "not_taken"


@pytest.mark.parametrize(
    "url",
    [
        "mailto://user:pass@127.0.0.1:25",
        "json://127.0.0.1/",
        "ntfy://10.0.0.1/topic",
        "file:///etc/passwd",
        f"{TELEGRAM}?template=/etc/passwd",
        f"{TELEGRAM}?cto=9999",
        "tgram://nonsense",
        "mailto:a@b.example?bcc=c@d.example",
    ],
)
def test_a_target_that_could_reach_inside_is_refused_and_not_repeated(project, url, settings):
    with_notices(settings, mail_url="mailto://127.0.0.1:1")
    with pytest.raises(TargetInvalid) as refused:
        target_create(project_id=project.id, label="x", url=url)
    assert url not in str(refused.value)


def test_mail_goes_through_the_operators_server_to_the_one_address(project, settings):
    with mail_sink() as sink:
        with_notices(
            settings, mail_url=f"mailto://127.0.0.1:{sink.port}?from=forekeep@example.org&mode=insecure"
        )
        row = target_create(project_id=project.id, label="team", url="mailto:team@example.com")
        target_test(target_id=row.id)

        assert send() == {"sent": 1}

    (mail,) = sink.mails
    assert mail.receivers == ("team@example.com",)
    assert "Forekeep: a test" in mail.text


def test_a_keeper_that_fell_silent_is_told_once_by_each_way_it_registered(settings, monkeypatch):
    texts = []

    def take(self: NotifyBase, body, title="", **_options):
        texts.append((self.bot_token, self.targets, title, body))
        return True

    monkeypatch.setattr(NotifyTelegram, "send", take)
    keeper = make_keeper()
    long_ago = get_database_now() - timedelta(hours=1)
    Keeper.objects.filter(pk=keeper.pk).update(
        online=True, last_checkin_at=long_ago, contact={"chat_id": "12315544", "email": "k@example.com"}
    )
    with mail_sink() as sink:
        mail = f"mailto://127.0.0.1:{sink.port}?from=forekeep@example.org&mode=insecure"
        with_notices(settings, telegram_token=TOKEN, mail_url=mail)
        collect()
        due = keepers_sweep_offline(
            offline_after_seconds=600, alert_cooldown_seconds=3_600, alerts=FakeOffline()
        )
        collect()
        assert Alert.objects.count() == 2
        NoticeAlerts().send(due)
        assert Alert.objects.count() == 2

        assert send() == {"sent": 2}

    assert sink.mails[0].receivers == ("k@example.com",)
    assert texts[0][0] == TOKEN
    assert "keeper offline" in texts[0][2] + texts[0][3]


def test_no_address_of_a_target_is_in_an_event_a_log_line_or_a_row(project, caplog):
    target_create(project_id=project.id, label="on call", url=TELEGRAM)
    happen(project, "run.failed")
    collect()
    send(FakeAlerts("not_taken"))
    shown = str(list(Event.objects.values())) + str(list(AlertTarget.objects.values())) + caplog.text
    assert TOKEN not in shown
    assert TOKEN.partition(":")[2] not in shown


class FakeOffline:
    """Tells nobody: what a crash right after the sweep's commit leaves."""

    def send(self, keepers):
        """See OfflineAlerts."""
