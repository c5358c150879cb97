# Two images: `service` (REST, dashboard, queue; no torch) and `worker` (training).
FROM python:3.11-slim-bookworm AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 10001 shrinknets
WORKDIR /app
COPY pyproject.toml constraints.txt README.md ./
COPY shrinknets shrinknets

FROM base AS service
COPY service service
RUN pip install --constraint constraints.txt ".[service]" \
    && install --directory --owner=shrinknets /data
USER 10001
ENV SHRINKNETS_DATA_DIR=/data SHRINKNETS_HOST=0.0.0.0
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz')"]
CMD ["python", "-m", "service"]

FROM base AS worker
COPY shrinknets_core shrinknets_core
COPY worker worker
RUN pip install --constraint constraints.txt ".[worker,onnx]"
USER 10001
ENTRYPOINT ["python", "-m", "worker"]
CMD ["--url", "http://service:8000"]
