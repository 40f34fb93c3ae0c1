"""What alerts are sent to, on ports of this machine: a webhook, Alertmanager, and a mail server."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from socket import create_server, socket
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.trackers import Reply, Server

SECRET = "T0P/s3cret-hook"
PASSWORD = "mail-passw0rd"


class Hook(Server):
    """Takes JSON as Slack's webhooks and as Alertmanager do."""

    def __init__(self) -> None:
        super().__init__()
        self.posts: list[Any] = []
        self.keys: list[str] = []
        self.alerts: list[Any] = []

    @property
    def environment(self) -> dict[str, str]:
        return {"FAULTLINE_ALERTS_WEBHOOK": f"{self.url}/services/{SECRET}"}

    def reply(
        self, method: str, path: str, query: dict[str, str], headers: Any, body: Any
    ) -> Reply:
        if method == "POST" and path == f"/services/{SECRET}":
            if not (isinstance(body, dict) and body.keys() == {"text"} and body["text"]):
                return Reply(400, b"invalid_payload")
            self.posts.append(body["text"])
            self.keys.append(headers["Idempotency-Key"])
            return Reply(200, b"ok")
        if method == "POST" and path == "/api/v2/alerts":
            for alert in body:
                start, end = (datetime.fromisoformat(alert[k]) for k in ("startsAt", "endsAt"))
                assert start <= end
                assert all(isinstance(value, str) for value in alert["labels"].values())
            self.alerts.append(body)
            return Reply(200, b"")
        return Reply(404, b"no_service")


class Letters:
    """A mail server's letters, each with the addresses it was for."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.to: list[list[str]] = []
        self.refused: set[str] = set()

    async def handle_RCPT(
        self, server: Any, session: Session, envelope: Envelope, address: str, _: Any
    ) -> str:
        if address in self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        letter = message_from_bytes(envelope.content, policy=default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        self.to.append(list(envelope.rcpt_tos))
        return "250 OK"


@contextmanager
def mail_server(folder: Path, tls: str = "none") -> Iterator[tuple[Letters, dict[str, str]]]:
    """A mail server with `tls` "none", "starttls" or "ssl", and the variables that set it up.

    With TLS, it knows the user ada and `PASSWORD`, and with STARTTLS wants them; its
    certificate is cert.pem in `folder`.
    """
    letters = Letters()
    more: dict[str, Any] = {}
    environment = {
        "FAULTLINE_SMTP_HOST": "127.0.0.1",
        "FAULTLINE_SMTP_SECURITY": tls,
        "FAULTLINE_ALERTS_FROM": "faultline@example.org",
        "FAULTLINE_ALERTS_TO": "ada@example.org, grace@example.org",
    }
    if tls != "none":
        context = certificate(folder)
        more = {"authenticator": _authenticate}
        if tls == "starttls":
            more |= {"tls_context": context, "require_starttls": True, "auth_required": True}
        else:
            more |= {"ssl_context": context, "auth_require_tls": False}
        environment |= {"FAULTLINE_SMTP_USER": "ada", "FAULTLINE_SMTP_PASSWORD": PASSWORD}
    # The controller cannot be told to take any free one.
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(letters, hostname="127.0.0.1", port=port, **more)
    controller.start()
    try:
        yield letters, {**environment, "FAULTLINE_SMTP_PORT": str(port)}
    finally:
        controller.stop()


def _authenticate(
    server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any
) -> AuthResult:
    right = LoginPassword(b"ada", PASSWORD.encode())
    return AuthResult(success=data == right, handled=False)


def certificate(folder: Path, *names: str) -> ssl.SSLContext:
    """A context with a new certificate for 127.0.0.1 and hosts of other names, which is written to
    cert.pem, as its key is to key.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ip_address("127.0.0.1")), *map(x509.DNSName, names)]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


Talk = Callable[[socket, threading.Event], None]


@contextmanager
def talking(say: Talk) -> Iterator[int]:
    """A server, by its port, that does with each connection what `say` does, until the end."""
    ended = threading.Event()

    def accept(server: socket) -> None:
        with suppress(OSError):
            while True:
                with server.accept()[0] as caller, suppress(OSError):
                    say(caller, ended)

    with create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, args=(server,), daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        ended.set()


def trickle(first: bytes, then: bytes, reads: bool = True) -> Talk:
    """Send something, then something small again and again; `reads` a request before."""

    def say(caller: socket, ended: threading.Event) -> None:
        if reads:
            caller.recv(1 << 16)
        caller.sendall(first)
        while not ended.wait(0.05):
            if then:
                caller.sendall(then)

    return say


def speaking_smtp(answers: Mapping[bytes, bytes]) -> Talk:
    """A mail server that takes a mail, but for some of its answers, by command; b"" ends the
    connection in place of an answer. The text's is that of `.`, the greeting's that of ``."""

    def say(caller: socket, _: threading.Event) -> None:
        def answer(command: bytes, otherwise: bytes) -> bool:
            reply = answers.get(command, otherwise)
            if reply:
                caller.sendall(reply + b"\r\n")
            return bool(reply)

        file = caller.makefile("rb")
        going = answer(b"", b"220 ready")
        in_text = False
        while going and (line := file.readline()):
            if in_text:
                if line == b".\r\n":
                    in_text = False
                    going = answer(b".", b"250 taken")
                continue
            command = line[:4].upper()
            in_text = command == b"DATA" and b"DATA" not in answers
            going = answer(command, b"354 go on" if in_text else b"250 ok")
            going = going and command != b"QUIT"

    return say
