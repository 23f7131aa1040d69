"""SRTP protection profiles: which are offered, and which one the handshake has chosen (RFC 5764)."""

from __future__ import annotations

from aiortc import RTCRtpTransceiver, rtcdtlstransport
from pylibsrtp import Policy

TAG_BYTES = {
    b"SRTP_AEAD_AES_256_GCM": 16,
    b"SRTP_AEAD_AES_128_GCM": 16,
    b"SRTP_AES128_CM_SHA1_80": 10,
    b"SRTP_AES128_CM_SHA1_32": 4,
}


def choose_srtp_profiles(transceiver: RTCRtpTransceiver, tag_bits: int) -> None:
    """Offer AES-CM with the 80-bit tag, and before it the 32-bit tag when `tag_bits` is 32 (RFC 5764 4.1.2)."""
    profiles = [rtcdtlstransport.SRTP_AES128_CM_SHA1_80]
    if tag_bits == 32:
        profiles.insert(
            0,
            rtcdtlstransport.SRTPProtectionProfile(
                Policy.SRTP_PROFILE_AES128_CM_SHA1_32, b"SRTP_AES128_CM_SHA1_32", 16, 14
            ),
        )
    transceiver.receiver.transport._srtp_profiles = profiles


def srtp_tag_bytes(transceiver: RTCRtpTransceiver) -> int:
    """Length of the SRTP tag that the finished handshake has chosen."""
    connection = getattr(transceiver.receiver.transport, "_ssl", None)
    name = connection.get_selected_srtp_profile() if connection is not None else b""
    return TAG_BYTES.get(name, 10)
