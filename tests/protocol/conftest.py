"""One example of everything that crosses the wire; golden files, hostile bytes and the document are tested on them."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from proofs import THERE

from protocol.identity.file import IdentityFile, NumberFormat, sign_identity
from protocol.identity.key import OwnerKey
from protocol.identity.proof import prove_identity
from protocol.identity.revocation import Revocation, revoke
from protocol.identity.sectioned import SectionedIdentity, sign_sections
from protocol.messages import (
    Bye,
    Hello,
    IdentityData,
    IdentityOffer,
    IdentityRequest,
    Stats,
    decode_message,
    encode_message,
)
from protocol.opus_packet import OpusPacket, build_opus_packet, parse_opus_packet
from protocol.signalling.keys import MeetingKey
from protocol.signalling.messages import (
    Description,
    Exchange,
    Join,
    Joined,
    Leave,
    PeerJoined,
    PeerLeft,
    Refused,
    Stranger,
    decode_signalling,
    encode_signalling,
)
from protocol.style_block import StyleBlock

WEIGHTS = "a1" * 32
CONTENT = "c0" * 32
KEY = OwnerKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@dataclass(frozen=True)
class Example:
    """A value, its writer and its reader."""

    value: Any
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]

    @property
    def data(self) -> bytes:
        return self.write(self.value)


def identity(number_format: NumberFormat, num_layers: int) -> IdentityFile:
    """Four values per row, so that hostile variants stay cheap."""
    code = "f" if number_format is NumberFormat.FLOAT32 else "e"
    rows = [struct.pack(f"<4{code}", *(0.25 * (row + column) for column in range(4))) for row in range(num_layers + 1)]
    return sign_identity(
        KEY,
        name="Ann Ωmega",
        weights_sha256=WEIGHTS,
        latent_dim=4,
        number_format=number_format,
        z=rows[0],
        num_layers=num_layers,
        layer_offsets=b"".join(rows[1:]),
    )


def sectioned(sections: dict[int, bytes], **changes: Any) -> SectionedIdentity:
    """Version 2, four values per row like the others."""
    fields: dict[str, Any] = {
        "name": "Ann Ωmega",
        "weights_sha256": WEIGHTS,
        "latent_dim": 4,
        "created": date(2026, 11, 26),
        "consent": "I am Ann, and this face of mine may be drawn in my calls.",
        "consent_day": date(2026, 11, 25),
        "is_synthetic": False,
        "shows_real_person": True,
    }
    return sign_sections(KEY, sections, **(fields | changes))


Z = struct.pack("<4e", 0, 0.25, 0.5, -0.75)
SECTIONS = {
    1: Z,
    2: struct.pack("<8e", *(0.125 * index for index in range(8))),
    4: b"\xff\xd8\xff\xe0thumbnail",
    6: bytes(range(40)),
    9: b"of a later version",
}


def write_opus(packet: OpusPacket) -> bytes:
    return build_opus_packet(packet.toc, packet.frames, packet.padding)


CONTROL = {
    "hello": Hello(
        weights_sha256=WEIGHTS,
        resolution_px=256,
        frame_rate=Fraction(30000, 1001),
        style_table_id=3,
        agent="talkface 0.1.0",
    ),
    "identity-offer": IdentityOffer(content_sha256=CONTENT, size_bytes=2189),
    "identity-proof": prove_identity(THERE, KEY, CONTENT),
    "identity-request": IdentityRequest(content_sha256=CONTENT, offset_bytes=0),
    "identity-data": IdentityData(content_sha256=CONTENT, offset_bytes=0, data=b"TFID" + bytes(range(12))),
    "stats": Stats(
        duration_ms=60_000,
        packets_received=950,
        packets_lost=50,
        packets_repaired=40,
        packets_malformed=1,
        concealed_ms=600,
        playout_delay_ms=80,
        frames_expected=1500,
        frames_shown=1497,
    ),
    "bye": Bye(reason="hung up"),
}
SIGNALLING = {
    "join": Join(room_id=bytes(range(32)), peer_token=bytes(range(16))),
    "joined": Joined(generation=1),
    "peer-joined": PeerJoined(generation=2, is_offerer=True),
    "peer-left": PeerLeft(is_final=False),
    "description": MeetingKey(b"m" * 32).describe(2, "offer", "v=0\r\n"),
    "refused": Refused(code="room-full", reason="the room has two peers already, choose another name or secret"),
    "leave": Leave(),
    "stranger": Stranger(),
    "exchange": Exchange(generation=2, share=bytes(range(32, 64))),
}
STYLE = {
    "style-short": StyleBlock(style=bytes(range(1, 13))),
    "style-and-redundancy": StyleBlock(style=b"\x01\x02\x03", redundancy=b"\x48sound"),
    "redundancy-only": StyleBlock(redundancy=b"\x48sound"),
    "style-extended": StyleBlock(style=bytes(range(100, 120)), redundancy=b"\x48sound"),
}
OPUS = {
    "opus-code-0": OpusPacket(0x48, (b"sound",)),
    "opus-code-1": OpusPacket(0x48, (b"ab", b"cd")),
    "opus-code-2": OpusPacket(0x48, (b"abc", b"d" * 300)),
    "opus-code-3-cbr": OpusPacket(0x48, (b"ab", b"cd", b"ef"), b"\0\x11x"),
    "opus-code-3-vbr": OpusPacket(0x48, (b"", b"c" * 260, b"ef"), b"\0\x11x"),
}
IDENTITY = {
    "identity-fp32": identity(NumberFormat.FLOAT32, 0),
    "identity-fp16-layers": identity(NumberFormat.FLOAT16, 3),
}
SECTIONED = {
    "identity-2-latent": sectioned(
        {1: Z}, name="", consent="", consent_day=None, is_synthetic=True, shows_real_person=False
    ),
    "identity-2-sections": sectioned(SECTIONS),
}
REVOCATION = revoke(KEY, date(2026, 11, 26), "lost with a laptop")
EXAMPLES: dict[str, Example] = (
    {name: Example(value, encode_message, decode_message) for name, value in CONTROL.items()}
    | {name: Example(value, encode_signalling, decode_signalling) for name, value in SIGNALLING.items()}
    | {name: Example(value, StyleBlock.to_bytes, StyleBlock.from_bytes) for name, value in STYLE.items()}
    | {name: Example(value, write_opus, parse_opus_packet) for name, value in OPUS.items()}
    | {name: Example(value, IdentityFile.to_bytes, IdentityFile.from_bytes) for name, value in IDENTITY.items()}
    | {
        name: Example(value, SectionedIdentity.to_bytes, SectionedIdentity.from_bytes)
        for name, value in SECTIONED.items()
    }
    | {"revocation": Example(REVOCATION, Revocation.to_bytes, Revocation.from_bytes)}
)


@pytest.fixture
def examples() -> dict[str, Example]:
    """All of them by name."""
    return EXAMPLES


@pytest.fixture(params=sorted(EXAMPLES))
def example_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def example(example_name: str) -> Example:
    """Each of them in turn."""
    return EXAMPLES[example_name]


@pytest.fixture
def golden_folder() -> Path:
    """Golden bytes, one file per example."""
    return Path(__file__).parent / "golden"


@pytest.fixture
def owner_key() -> OwnerKey:
    return KEY


@pytest.fixture
def weights_sha256() -> str:
    return WEIGHTS


@pytest.fixture
def description() -> Description:
    message = SIGNALLING["description"]
    assert isinstance(message, Description)
    return message


@dataclass(frozen=True)
class Certificate:
    """A self-made certificate for 127.0.0.1."""

    cert: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.cert))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signalling test")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Certificate(folder / "cert.pem", folder / "key.pem")
