# A classroom or local server: docker build -t livdemo . && docker run -p 7860:7860 livdemo
FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 1000 user
USER user
ENV HOME=/home/user \
    PATH=/home/user/.local/bin:$PATH \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False \
    GRADIO_TEMP_DIR=/tmp/livdemo \
    PYTHONUNBUFFERED=1
WORKDIR /home/user/app
COPY --chown=user requirements.txt .
# torch's default build on Linux brings gigabytes of CUDA. For a CPU server pass the address of PyTorch's index of
# CPU wheels: docker build --build-arg TORCH_INDEX=... (see pytorch.org, "Get started").
ARG TORCH_INDEX=
RUN pip install --no-cache-dir --user ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0 \
    && pip install --no-cache-dir --user -r requirements.txt
COPY --chown=user . .
# So that a server without a network has the real CT as well; the phantom works without it.
RUN python -c "from livdemo.cases import load_case; load_case('lits117')" || echo "lits117 is fetched on first use"
EXPOSE 7860
CMD ["python", "app.py"]
