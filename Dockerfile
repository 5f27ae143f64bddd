# The service. Build it with `make image`, which looks up the digest of the base, or by hand:
#   docker buildx imagetools inspect docker.io/library/python:3.11-slim-bookworm --format '{{.Manifest.Digest}}'
#   docker build --build-arg PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm@sha256:... -t eventstreams .
# PYTHON_IMAGE has no default: a digest must be one that a registry has told, and none could be asked when this was
# written. The build fails without it.
#
# Configuration comes in through the environment: EVENTSTREAMS_CONFIG, EVENTSTREAMS_<KEY>, DATABASE_URL,
# DJANGO_SECRET_KEY, DJANGO_ALLOWED_HOSTS. The database is migrated once for each version, before it starts:
#   docker run --rm -e DATABASE_URL -e DJANGO_SECRET_KEY eventstreams python manage.py migrate
# The root file system may be read-only (`--read-only --tmpfs /tmp`; /tmp is for large uploads in the admin). The service
# does not start without DATABASE_URL: no database is in the container. Nothing secret is in the image.
ARG PYTHON_IMAGE

FROM ${PYTHON_IMAGE} AS build
COPY requirements.txt /tmp/requirements.txt
RUN python -m venv /opt/venv && \
    /opt/venv/bin/pip install --no-cache-dir --require-hashes --no-deps --requirement /tmp/requirements.txt && \
    /opt/venv/bin/pip uninstall --yes pip setuptools

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="eventstreams" \
      org.opencontainers.image.description="Kafka topics to any number of HTTP clients, as Server-Sent Events or newline-delimited JSON" \
      org.opencontainers.image.version="1.0.0"

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY deploy/docker/healthcheck /usr/local/bin/healthcheck
COPY manage.py ./
COPY config/ config/
COPY eventstreams_site/ eventstreams_site/
COPY redaction/ redaction/
COPY streams/ streams/
COPY templates/ templates/
RUN PYTHONDONTWRITEBYTECODE= python -m compileall -q eventstreams_site redaction streams

# A number: Kubernetes' runAsNonRoot cannot tell what user a name is.
USER 10001:10001
# The public port, and the operations port for probes and metrics.
EXPOSE 8092 8093
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["healthcheck", "127.0.0.1", "8093"]
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0", "--port", "8092", "--ops-host", "0.0.0.0", "--ops-port", "8093"]
