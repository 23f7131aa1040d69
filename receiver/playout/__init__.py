"""From packets to continuous sound: jitter buffer, concealment, clocks."""
