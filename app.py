"""Entry of the Space and of a local server: python app.py, then open port 7860.

GRADIO_SERVER_NAME and GRADIO_SERVER_PORT are respected.
"""

from livdemo.ui.app import build_app, launch_options

if __name__ == "__main__":
    build_app().queue(max_size=32).launch(**launch_options())
