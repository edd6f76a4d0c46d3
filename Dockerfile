# syntax=docker/dockerfile:1
# One image per extra: `docker build --build-arg EXTRA=cpu|gpu .`
# The GPU image needs no CUDA base: the wheels bring CUDA and cuDNN, the host brings the driver.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ARG EXTRA=cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# Without pip inside: the final image can install nothing.
RUN python -m venv --without-pip /opt/heliowatch && python -m venv /opt/build

# The requirements change seldom, the code often: they get their own layers.
COPY requirements/build.txt requirements/${EXTRA}.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.txt \
    && /opt/build/bin/pip --python /opt/heliowatch/bin/python install \
        --require-hashes --only-binary :all: -r "requirements/${EXTRA}.txt"

COPY pyproject.toml README.md LICENSE ./
COPY observatory observatory
COPY models models
COPY workers workers
COPY service service
COPY heliowatch heliowatch
COPY migrations migrations
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/build/bin/pip --python /opt/heliowatch/bin/python install --no-deps --no-index /dist/*.whl


FROM python:${PYTHON_VERSION}-slim-bookworm
ARG EXTRA=cpu
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Heliowatch (${EXTRA})" \
      org.opencontainers.image.description="Watches the frames of solar and auroral observatories as they arrive" \
      org.opencontainers.image.licenses="BSD-3-Clause" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Folders made here give fresh volumes their owner: a container that is not root could not claim them.
RUN groupadd --gid 10001 heliowatch \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin heliowatch \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/heliowatch \
    && install -d -o 10001 -g 10001 -m 0755 /secrets/heliowatch /secrets/postgres /secrets/redis /secrets/grafana

# Films are coded by ffmpeg. Its version is Debian's: mirrors keep the newest alone, and a pin would soon not build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/*

COPY --from=build /opt/heliowatch /opt/heliowatch

# HOME is a scratch folder: libraries that keep a cache find one on a read-only root too.
ENV PATH=/opt/heliowatch/bin:$PATH \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HELIOWATCH_DATA_DIR=/var/lib/heliowatch

USER 10001:10001
WORKDIR /var/lib/heliowatch
EXPOSE 8000 9101
STOPSIGNAL SIGTERM

# Right for `serve`, the default; other roles say HEALTH_URL or bring their own check (docker-compose.yml).
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ.get('HEALTH_URL', 'http://127.0.0.1:8000/healthz'), timeout=4)"]

ENTRYPOINT ["heliowatch"]
CMD ["serve", "--host", "0.0.0.0"]
