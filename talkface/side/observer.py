"""What a running side counts and notes, until it becomes the side's record."""

from __future__ import annotations

from protocol.interfaces import Clock
from receiver.session import ReceivingSession
from receiver.sinks.recording import Recording
from sender.session_stats import SendingStats
from talkface.options import SideOptions
from talkface.progress import Progress
from talkface.rtc.wire.meter import WireMeter
from talkface.side.record import SideRecord
from talkface.side.sampler import SideSampler
from talkface.side.sent_log import SentLog


class SideObserver:
    """Watches one side from before its first link to after its last."""

    def __init__(self, options: SideOptions, clock: Clock, progress: Progress) -> None:
        self._options = options
        self._clock = clock
        self._progress = progress
        self.meter = WireMeter(clock)
        self.sampler = SideSampler(self.meter, clock, progress)
        self.start_us = 0
        """When the call's time began; 0 before that."""
        self._sent = SentLog()
        self._notes: list[str] = []
        self.meter.on_rtp_sent = self._sent.add

    def begin(self) -> None:
        """The far end is there."""
        self.start_us = self._clock.now_us()

    def note(self, text: str) -> None:
        """Something a person should know, said once."""
        if text not in self._notes:
            self._notes.append(text)
            self._progress.note(text)

    def record(
        self,
        sending: SendingStats | None,
        receiving: ReceivingSession | None,
        *,
        style: str,
        reconnects: int,
        recording: Recording | None,
        failure: str,
    ) -> SideRecord:
        """Everything, once receiving has stopped."""
        options = self._options
        received = receiving.stats() if receiving is not None else None
        ready = receiving.pcm_ready() if receiving is not None else []
        return SideRecord(
            role=options.role.value,
            preset=options.source.preset if options.source is not None else "",
            style=style,
            weights=options.model.weights,
            runtime=received.runtime if received is not None else "",
            start_us=self.start_us,
            wire=self.meter.snapshot(),
            sent=self._sent.rows(),
            ready=tuple((timestamp, ready_us) for _, timestamp, ready_us in ready),
            sending=sending,
            receiving=received,
            memory=tuple(self.sampler.memory),
            wire_up=tuple(self.sampler.wire_up),
            reconnects=reconnects,
            recording=recording,
            failure=failure,
            notes=tuple(self._notes),
        )
