"""The ASGI application uvicorn serves."""

import os

import django

from project.env import settings_or_exit
from project.serving import ThreadedDjango

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
settings_or_exit()
django.setup(set_prefix=False)

application = ThreadedDjango()
