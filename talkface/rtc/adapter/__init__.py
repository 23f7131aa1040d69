"""The only folder that touches names of aiortc and aioice that are not public; `names` lists every one of them.

What is changed, always on one connection's objects and never for other users of the libraries in this process:

* `sockets`, `turn_legs` (aioice `StunProtocol`, `TurnClient*Protocol`): datagrams are counted where they leave and
  enter, a flood is cut off, and STUN transactions are paced so that a round trip of 2 s or a lossy path does not end a
  call (aioice gives a consent check 0.5 s and doubles the wait between connectivity checks up to 32 s); on a machine
  without a network, or when asked, candidates are gathered on the loopback address (aioice skips it);
* `srtp`: the SRTP profiles offered;
* `rtcp_hooks`: RTCP thinned on its way out, RTCP read on its way in;
* `router`: our receiver instead of aiortc's, whose jitter buffer turns one lost 60 ms packet into 960 ms of silence;
* `control_guard`: SCTP that survives what a peer sends.

`names.missing_features()` says at start-up which of these the installed versions do not allow; the link then leaves
that part stock. Checked on aiortc 1.16 and aioice 0.13.
"""
