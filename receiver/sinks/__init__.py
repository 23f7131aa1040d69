"""Where frames and sound go: MP4, window, loudspeaker."""
