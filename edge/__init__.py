"""Real-time facial expressions on small computers: find faces, read each, tell what changed."""

__version__ = "0.2.0"
