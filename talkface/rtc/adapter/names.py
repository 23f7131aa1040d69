"""Every private name of aiortc and aioice that this folder uses, and whether the installed versions have it."""

from __future__ import annotations

import enum
import logging
import pkgutil
from functools import cache
from types import CodeType
from typing import Any

logger = logging.getLogger(__name__)


class Feature(enum.Enum):
    """A group of private names that stands or falls together."""

    SOCKETS = "sockets"
    SRTP_PROFILES = "srtp profiles"
    RTCP = "rtcp"
    RTP_ROUTER = "rtp router"
    CONTROL_GUARD = "control guard"


_DTLS = "aiortc.rtcdtlstransport:RTCDtlsTransport"
_SCTP = "aiortc.rtcsctptransport:RTCSctpTransport"
REQUIRED: dict[Feature, tuple[tuple[str, str], ...]] = {
    Feature.SOCKETS: (
        ("aiortc.rtcicetransport:RTCIceTransport", "_connection"),
        ("aioice.ice:Connection", "get_component_candidates"),
        ("aioice.ice:Connection", "_nominated"),
        ("aioice.ice:Connection", "_query_consent_task"),
        ("aioice.ice:Connection", "_queue"),
        ("aioice.ice:Connection", "_transport_policy"),
        ("aioice.ice:Connection", "build_request"),
        ("aioice.ice:Connection.connect", "query_consent"),
        ("aioice.ice:Connection.get_component_candidates", "StunProtocol"),
        ("aioice.ice:StunProtocol", "send_data"),
        ("aioice.ice:StunProtocol", "send_stun"),
        ("aioice.ice:StunProtocol", "request"),
        ("aioice.ice:StunProtocol", "transactions"),
        ("aioice.ice:StunProtocol.datagram_received", "response_received"),
        ("aioice.stun:Message", "check_message_integrity"),
        ("aioice.turn:create_turn_endpoint", "create_datagram_endpoint"),
        ("aioice.turn:TurnClientUdpProtocol", "_send"),
        ("aioice.turn:TurnClientTcpProtocol", "_send"),
        ("aioice.turn:TurnClientTcpProtocol", "_padded"),
    ),
    Feature.SRTP_PROFILES: (
        (_DTLS, "_srtp_profiles"),
        (f"{_DTLS}.start", "_srtp_profiles"),
        ("aiortc.rtcdtlstransport", "SRTPProtectionProfile"),
        ("aiortc.rtcdtlstransport", "SRTP_AES128_CM_SHA1_80"),
    ),
    Feature.RTCP: (
        (_DTLS, "_send_rtp"),
        (f"{_DTLS}._recv_next", "_handle_rtcp_data"),
        ("aiortc.rtcrtpsender:RTCRtpSender", "_ssrc"),
        ("aiortc.rtcrtpsender:RTCRtpSender._send_rtcp", "_send_rtp"),
    ),
    Feature.RTP_ROUTER: (
        (_DTLS, "_register_rtp_receiver"),
        (_DTLS, "_unregister_rtp_receiver"),
        (f"{_DTLS}._recv_next", "_handle_rtp_data"),
        (f"{_DTLS}._handle_rtp_data", "_handle_rtp_packet"),
        ("aiortc.rtcrtpreceiver:RTCRtpReceiver", "receive"),
    ),
    Feature.CONTROL_GUARD: (
        (f"{_DTLS}._recv_next", "_handle_data"),
        (_DTLS, "_send_data"),
        (_SCTP, "_advertised_rwnd"),
        (_SCTP, "_local_port"),
        (_SCTP, "_remote_port"),
        (_SCTP, "_rto"),
        (_SCTP, "_send_chunk"),
        ("aiortc.rtcsctptransport", "serialize_packet"),
        ("aiortc.rtcsctptransport", "InitChunk"),
    ),
}
"""By feature: a class, module or function, and the name that it must have or use."""


def _names(code: CodeType) -> set[str]:
    """Names that a function uses, those in its inner functions too."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


@cache
def _owner(path: str) -> Any:
    """What a path of `REQUIRED` stands for in the libraries as they are installed; None when it is gone."""
    try:
        return pkgutil.resolve_name(path)
    except (ImportError, AttributeError):
        return None


def _has(path: str, name: str) -> bool:
    """True when the class or module has it, its constructor sets it, or the function uses it."""
    owner = _owner(path)
    if hasattr(owner, name):
        return True
    code = getattr(owner, "__code__", None) or getattr(getattr(owner, "__init__", None), "__code__", None)
    return code is not None and name in _names(code)


@cache
def missing_features() -> frozenset[Feature]:
    """Groups that the installed aiortc and aioice do not support; empty with the versions in pyproject.toml.

    The first call is the one that looks; it comes before anything is replaced.
    """
    missing = set()
    for feature, names in REQUIRED.items():
        for path, name in names:
            if not _has(path, name):
                logger.warning("%s has no %s: stock %s", path, name, feature.value)
                missing.add(feature)
    return frozenset(missing)
