"""What the visitor sees. The only folder that imports gradio."""

import os

# Read by gradio when it is imported: no look-ups of outside hosts, so that the app works without a network.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
