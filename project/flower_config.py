"""What Flower is told: its login, from the same settings as everything else; never open to all."""

import sys

from flower.app import Flower
from tornado.ioloop import PeriodicCallback

from project.celery import app
from project.env import settings_or_exit

_login = settings_or_exit().web.flower_basic_auth
if not _login:
    sys.stderr.write("flower cannot start. FLOWER_BASIC_AUTH: it is not set; expected user:password\n")
    sys.exit(2)

#: Flower reads queues of brokers it knows by name; it sends next to nothing, so the stock transport will do
app.conf.broker_transport = None

basic_auth = [_login]
persistent = False
#: workers on a busy machine answer late
inspect_timeout = 5_000.0
max_tasks = 5_000

#: Flower asks the workers what they listen to once, at its own start, when most are not up yet; its
#: broker page would then never show the keepers' queues. So it asks again, all the time.
_INSPECT_EVERY_MILLISECONDS = 15_000
_start_once = Flower.start


def _start(self: Flower) -> None:
    def inspect() -> None:
        self.update_workers()

    PeriodicCallback(inspect, _INSPECT_EVERY_MILLISECONDS).start()
    _start_once(self)


Flower.start = _start
