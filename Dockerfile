# The connector as an image. Needs BuildKit (Docker's default since 23.0) or buildah.
#
# The tag names a full version, but a tag can be pushed again. To pin the very image, look its digest up with
#   docker buildx imagetools inspect python:3.13.14-slim-bookworm
# and append it to the line below: python:3.13.14-slim-bookworm@sha256:<digest>
FROM python:3.13.14-slim-bookworm AS base

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore


# Source → wheel. Nothing of this stage but the wheel reaches the image.
FROM base AS build

WORKDIR /src

# The build backend comes from a lock file too, hence no isolation below: pip would fetch an unpinned one.
COPY requirements-build.lock ./
RUN python -m pip install --no-deps --require-hashes --only-binary :all: -r requirements-build.lock

COPY pyproject.toml LICENSE README.md ./
COPY avro ./avro
COPY config ./config
COPY connector ./connector
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist .


FROM base

LABEL org.opencontainers.image.title="kaleyra-whatsapp-connector" \
      org.opencontainers.image.description="Kaleyra WhatsApp callbacks in, typed Avro records on Kafka topics out." \
      org.opencontainers.image.licenses="Apache-2.0"

# Logs leave line by line; the root file system may be read-only, so no byte code is written at run time.
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

# Numbers, not names: Kubernetes' runAsNonRoot can check them, and the owner of a mounted secret can be set to them.
RUN groupadd --gid 10001 connector \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin connector

# Dependencies in a layer of their own: a change of the code does not fetch them again. Wheels only: no compiler is needed.
RUN --mount=type=bind,source=requirements.lock,target=/tmp/requirements.lock \
    python -m pip install --no-deps --require-hashes --only-binary :all: -r /tmp/requirements.lock
# The check says at build time if the lock file no longer fits pyproject.toml.
RUN --mount=type=bind,from=build,source=/dist,target=/tmp/dist \
    python -m pip install --no-deps --no-index /tmp/dist/*.whl \
    && python -m pip check

# For a volume: what outlives a container (registry.cache_folder, spool.folder). A new volume takes its owner and mode from here.
RUN install --directory --mode 0700 --owner 10001 --group 10001 /var/lib/connector

USER 10001:10001

# Callbacks; health, readiness and metrics.
EXPOSE 8080 8090

# The process, not its readiness: while Kafka is away a restart would not help. At the port of the settings in the environment;
# a container with a settings file names it here too: connector health --live --config FILE.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["connector", "health", "--live"]

ENTRYPOINT ["connector"]
CMD ["serve"]
