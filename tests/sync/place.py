"""Every destination's server in one place, and the settings that lead there."""

from dataclasses import dataclass
from pathlib import Path

from conftest import Sandbox
from roomtone.sandbox import customerio_api, webhook_receiver

from .sftp_server import PASSWORD, SftpServer


@dataclass
class Place:
    """Everything that the destinations are connected to."""

    brand: Sandbox
    sftp: SftpServer
    home: Path

    def environ(self) -> dict[str, str]:
        url = self.brand.url
        return (
            self.brand.environ(self.home)
            | {
                "ROOMTONE_BRAZE_URL": f"{url}/braze",
                "ROOMTONE_BRAZE_TOKEN": "sandbox-braze",
                "ROOMTONE_BRAZE_CUSTOMER_PREFIX": "shop-",
                "ROOMTONE_CUSTOMERIO_URL": f"{url}/customerio",
                "ROOMTONE_CUSTOMERIO_TOKEN": customerio_api.TRACK_KEY,
                "ROOMTONE_CUSTOMERIO_SITE_ID": customerio_api.SITE_ID,
                "ROOMTONE_CUSTOMERIO_APP_URL": f"{url}/customerio",
                "ROOMTONE_CUSTOMERIO_APP_KEY": customerio_api.APP_KEY,
                "ROOMTONE_CUSTOMERIO_CUSTOMER_PREFIX": "shop-",
                "ROOMTONE_WEBHOOK_URL": f"{url}/webhook{webhook_receiver.PATH}",
                "ROOMTONE_WEBHOOK_TOKEN": webhook_receiver.SECRET,
                "ROOMTONE_WEBHOOK_CALLS_PER_SECOND": "40",
                "ROOMTONE_REQUEST_TRACKER_URL": f"{url}/request_tracker",
                "ROOMTONE_REQUEST_TRACKER_TOKEN": "sandbox-request-tracker",
            }
            | sftp_environ(self.sftp)
        )


def sftp_environ(sftp: SftpServer) -> dict[str, str]:
    """The settings that lead to a server of files."""
    return {
        "ROOMTONE_SFTP_URL": sftp.url,
        "ROOMTONE_SFTP_TOKEN": PASSWORD,
        "ROOMTONE_SFTP_HOST_KEY": sftp.pinned,
        "ROOMTONE_SFTP_FORMAT": "csv",
    }
