# The service. Its database must be migrated once for each version, before it starts:
#   docker run --rm -e DATABASE_URL -e DJANGO_SECRET_KEY IMAGE python manage.py migrate
# Configuration comes in through the environment: EVENTSTREAMS_CONFIG, EVENTSTREAMS_<KEY>, DATABASE_URL,
# DJANGO_SECRET_KEY, DJANGO_ALLOWED_HOSTS. Without DATABASE_URL it only starts with DJANGO_DEBUG. Nothing secret is in it.
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app

COPY requirements.txt ./
RUN pip install --no-cache-dir --require-hashes --no-deps --requirement requirements.txt

COPY manage.py ./
COPY config/ config/
COPY eventstreams_site/ eventstreams_site/
COPY redaction/ redaction/
COPY streams/ streams/
COPY templates/ templates/

# .local is where the database of DJANGO_DEBUG (SQLite) is: the one place that the service may write to.
RUN useradd --system --uid 10001 --no-create-home eventstreams && install --directory --owner eventstreams .local
USER eventstreams

EXPOSE 8092

HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8092/healthz', timeout=4)"]

CMD ["python", "manage.py", "serve", "--host", "0.0.0.0", "--port", "8092"]
