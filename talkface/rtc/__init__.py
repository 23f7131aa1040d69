"""The WebRTC link: ICE, DTLS-SRTP, RTCP, and every byte counted."""
