# syntax=docker/dockerfile:1
# Two images from one file: `api` (no torch) and `worker` (torch). Both run as a user without rights.

ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS source
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY service service
COPY worker worker
COPY migrations migrations

FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 \
    TRAINWRIGHT_HOME=/var/lib/trainwright MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --system --uid 10001 --create-home trainwright \
 && install -d -m 0700 -o trainwright -g trainwright /var/lib/trainwright
WORKDIR /var/lib/trainwright

FROM base AS api
RUN --mount=from=source,source=/src,target=/src,rw pip install -c /src/constraints.txt /src
USER trainwright
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=6 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["trainwright", "api", "--host", "0.0.0.0", "--port", "8000"]

FROM base AS worker
RUN --mount=from=source,source=/src,target=/src,rw pip install -c /src/constraints.txt '/src[worker]'
USER trainwright
STOPSIGNAL SIGTERM
CMD ["trainwright", "worker"]
