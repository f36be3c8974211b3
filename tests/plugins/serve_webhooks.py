"""Serves the webhooks of a home with uvicorn, as Airflow's API server does: `serve_webhooks.py PORT`."""

import sys

import uvicorn
from fastapi import FastAPI

from roomtone.airflow import webhooks
from roomtone.settings import load_settings
from roomtone.stores.operational import OperationalStore

settings = load_settings()
outer = FastAPI()
outer.mount(
    webhooks.PREFIX,
    webhooks.make_app(
        OperationalStore(settings), lambda sender: settings.webhook_secrets.get(sender, ()), lambda: None
    ),
)
uvicorn.run(outer, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
