"""A folder on another machine over SFTP: one file per kind and sync run, put under a draft name and then renamed.

The server is known by its host key alone, which is set beforehand: a first meeting trusts nobody.
"""

import base64
import binascii
import importlib.util
import io
import posixpath
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlsplit

from roomtone.errors import RoomtoneError
from roomtone.settings import Connection
from roomtone.sync.destinations.file_formats import FORMATS, FileFormat
from roomtone.sync.destinations.tables import RowFiles
from roomtone.sync.transport import VendorUnreachableError

if TYPE_CHECKING:
    import paramiko

_TIMEOUT_SECONDS = 15.0
_PORT = 22


class Sftp(RowFiles):
    name: ClassVar[str] = "sftp"

    def __init__(self, connection: Connection, sync_run_id: int) -> None:
        super().__init__(sync_run_id)
        if importlib.util.find_spec("paramiko") is None:
            raise RoomtoneError("sftp destination", "paramiko is not installed", "install the extra roomtone[sftp]")
        self._connection = connection
        self.form = _format(connection)
        address = urlsplit(connection.url)
        if address.scheme != "sftp" or not address.hostname:
            raise RoomtoneError("ROOMTONE_SFTP_URL", connection.url, "give sftp://USER@HOST:PORT/FOLDER")
        self._host, self._port = address.hostname, address.port or _PORT
        self._user = unquote(address.username or "")
        self._folder = unquote(address.path) or "."
        self._session: tuple[paramiko.Transport, paramiko.SFTPClient] | None = None

    def close(self) -> None:
        if self._session is not None:
            transport, _ = self._session
            transport.close()
            self._session = None

    def read(self, path: str) -> bytes | None:
        with self._told() as client:
            try:
                with client.open(self._whole(path), "rb") as file:
                    file.prefetch()
                    return bytes(file.read())
            except FileNotFoundError:
                return None

    def write(self, path: str, content: bytes) -> None:
        whole = self._whole(path)
        draft = posixpath.join(posixpath.dirname(whole), f".{posixpath.basename(whole)}.part")
        with self._told() as client:
            self._make_folder(client, posixpath.dirname(whole))
            # `confirm` asks the server for the size of what has arrived.
            client.putfo(io.BytesIO(content), draft, file_size=len(content), confirm=True)
            if self.check is not None:
                self.check()
            client.posix_rename(draft, whole)

    def probe(self) -> list[str]:
        """The server has the pinned key, lets us in, and has the folder."""
        with self._told() as client:
            names = client.listdir(self._folder)
        return [f"{self._host}:{self._port} has the pinned host key; {self._folder} holds {len(names)} entries"]

    def _whole(self, path: str) -> str:
        return posixpath.join(self._folder, path)

    def _make_folder(self, client: "paramiko.SFTPClient", folder: str) -> None:
        try:
            client.stat(folder)
        except FileNotFoundError:
            client.mkdir(folder)

    @contextmanager
    def _told(self) -> Iterator["paramiko.SFTPClient"]:
        """A session, kept for the next file; whatever goes wrong is told in one line."""
        import paramiko

        try:
            yield self._client()
        except paramiko.AuthenticationException as error:
            raise self._lost(
                "does not let this user in", "check ROOMTONE_SFTP_TOKEN or ROOMTONE_SFTP_KEY_FILE"
            ) from error
        except PermissionError as error:
            raise self._lost(f"may not be written at {self._folder}", "give the user the folder") from error
        except FileNotFoundError as error:
            raise self._lost(f"has no folder {self._folder}", "create it, or correct ROOMTONE_SFTP_URL") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            raise self._lost(
                f"broke off ({error or type(error).__name__})", "check the address and that it is up"
            ) from error

    def _lost(self, value: str, next_step: str) -> VendorUnreachableError:
        return VendorUnreachableError(f"sftp {self._host}:{self._port}", value, next_step)

    def _client(self) -> "paramiko.SFTPClient":
        import paramiko

        if self._session is None:
            wanted = _host_key(self._connection)
            transport = paramiko.Transport(socket.create_connection((self._host, self._port), timeout=_TIMEOUT_SECONDS))
            transport.banner_timeout = transport.auth_timeout = _TIMEOUT_SECONDS
            # Only a key of the pinned kind is asked for, or a server with several would show another one.
            transport.get_security_options().key_types = [wanted[0]]
            try:
                transport.start_client(timeout=_TIMEOUT_SECONDS)
                shown = transport.get_remote_server_key()
                self._require((shown.get_name(), shown.asbytes()) == wanted)
                self._sign_in(transport)
                client = paramiko.SFTPClient.from_transport(transport)
                assert client is not None
                client.get_channel().settimeout(_TIMEOUT_SECONDS)  # type: ignore[union-attr]
            except BaseException:
                transport.close()
                raise
            self._session = (transport, client)
        return self._session[1]

    def _require(self, is_pinned_key: bool) -> None:
        if not is_pinned_key:
            raise self._lost(
                "shows another host key than the pinned one",
                "ask who runs it; set ROOMTONE_SFTP_HOST_KEY only after they confirmed the new key",
            )

    def _sign_in(self, transport: "paramiko.Transport") -> None:
        import paramiko

        key_file = self._connection.options.get("key_file")
        if not key_file:
            transport.auth_password(self._user, self._connection.token)
            return
        try:
            key = paramiko.PKey.from_path(key_file, self._connection.token.encode() or None)
        except (OSError, ValueError, TypeError, paramiko.SSHException) as error:
            raise RoomtoneError(
                "ROOMTONE_SFTP_KEY_FILE",
                f"{key_file} cannot be used ({type(error).__name__})",
                "name a private key in OpenSSH form, its passphrase in ROOMTONE_SFTP_TOKEN",
            ) from error
        transport.auth_publickey(self._user, key)


def _host_key(connection: Connection) -> tuple[str, bytes]:
    """Type and bytes of the pinned key, as one line of a known_hosts file writes them."""
    words = connection.options.get("host_key", "").split()
    try:
        kind, text = words[-2:]
        return kind, base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise RoomtoneError(
            "ROOMTONE_SFTP_HOST_KEY",
            "is not set" if not words else "is no host key",
            "give `ssh-ed25519 AAAA...`, which whoever runs the server can tell",
        ) from None


def _format(connection: Connection) -> FileFormat:
    name = connection.options.get("format") or "jsonl"
    if name not in FORMATS:
        raise RoomtoneError("ROOMTONE_SFTP_FORMAT", f"{name!r} is unknown", f"use one of {', '.join(FORMATS)}")
    return FORMATS[name]
