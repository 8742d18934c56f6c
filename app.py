"""Entry of the Space and of a local server: python app.py, then open port 7860.

GRADIO_SERVER_NAME and GRADIO_SERVER_PORT are respected. LIVDEMO_PREPARE=0: do not run the built-in cases beforehand.
"""

from livdemo.ui.app import build_app, launch_options
from livdemo.ui.prepare import preparing

if __name__ == "__main__":
    app = build_app().queue(max_size=32)
    with preparing():
        app.launch(**launch_options())
