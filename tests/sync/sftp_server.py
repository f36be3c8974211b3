"""A real SFTP server on loopback, over one folder, for one user."""

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

USER, PASSWORD = "roomtone", "a password of the test"


@dataclass
class SftpServer:
    """`renames` are the (from, to) of every rename, `opened` the names that were opened for writing."""

    folder: Path
    port: int
    host_key: paramiko.PKey
    renames: list[tuple[str, str]] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    authorized: list[paramiko.PKey] = field(default_factory=list)
    is_read_only: bool = False

    @property
    def url(self) -> str:
        return f"sftp://{USER}@127.0.0.1:{self.port}/in"

    @property
    def pinned(self) -> str:
        return f"{self.host_key.get_name()} {self.host_key.get_base64()}"


@contextmanager
def sftp_server(folder: Path) -> Iterator[SftpServer]:
    (folder / "in").mkdir(parents=True)
    listener = socket.create_server(("127.0.0.1", 0))
    server = SftpServer(folder, listener.getsockname()[1], paramiko.ECDSAKey.generate())
    open_transports: list[paramiko.Transport] = []

    class Desk(paramiko.ServerInterface):
        def check_auth_password(self, username: str, password: str) -> int:
            is_right = (username, password) == (USER, PASSWORD)
            return paramiko.AUTH_SUCCESSFUL if is_right else paramiko.AUTH_FAILED

        def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
            is_known = username == USER and any(key.asbytes() == known.asbytes() for known in server.authorized)
            return paramiko.AUTH_SUCCESSFUL if is_known else paramiko.AUTH_FAILED

        def get_allowed_auths(self, username: str) -> str:
            return "password,publickey"

        def check_channel_request(self, kind: str, chanid: int) -> int:
            return paramiko.OPEN_SUCCEEDED

    class Handle(paramiko.SFTPHandle):
        def stat(self) -> paramiko.SFTPAttributes:
            return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))

    class Files(paramiko.SFTPServerInterface):
        def _at(self, path: str) -> Path:
            return folder / self.canonicalize(path).lstrip("/")

        def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
            if not self._at(path).is_dir():
                return paramiko.SFTP_NO_SUCH_FILE
            found = []
            for entry in sorted(self._at(path).iterdir()):
                found.append(paramiko.SFTPAttributes.from_stat(entry.stat()))
                found[-1].filename = entry.name
            return found

        def stat(self, path: str) -> paramiko.SFTPAttributes | int:
            if not self._at(path).exists():
                return paramiko.SFTP_NO_SUCH_FILE
            return paramiko.SFTPAttributes.from_stat(self._at(path).stat())

        lstat = stat

        def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
            self._at(path).mkdir()
            return paramiko.SFTP_OK

        def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> Handle | int:
            is_writing = bool(flags & (os.O_WRONLY | os.O_RDWR))
            if is_writing and server.is_read_only:
                return paramiko.SFTP_PERMISSION_DENIED
            try:
                file = os.fdopen(os.open(self._at(path), flags, 0o600), "r+b" if is_writing else "rb")
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno or errno.EIO)
            if is_writing:
                server.opened.append(path)
            handle = Handle(flags)
            handle.readfile = handle.writefile = file
            return handle

        def posix_rename(self, oldpath: str, newpath: str) -> int:
            server.renames.append((oldpath, newpath))
            self._at(oldpath).replace(self._at(newpath))
            return paramiko.SFTP_OK

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(server.host_key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
            open_transports.append(transport)
            # A client that breaks off while shaking hands is the client's affair.
            with suppress(paramiko.SSHException, EOFError, OSError):
                transport.start_server(server=Desk())

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server
    finally:
        listener.close()
        for transport in open_transports:
            transport.close()
