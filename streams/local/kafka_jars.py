"""What the local Kafka needs: Java, which must be installed, and Kafka's jars, which Maven fetches."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

JARS = Path(__file__).resolve().parents[2] / ".local" / "kafka-jars"
"""Has a folder for each version."""
KAFKA_VERSION = "4.1.0"
LOG4J_VERSION = "2.24.3"  # what Kafka 4.1.0 depends on
OLDEST_JAVA = 17

_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>eventstreams</groupId>
  <artifactId>local-kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


class LocalKafkaError(Exception):
    """The local Kafka cannot be installed, started or reached; the message says why and what to do."""


class NoLocalKafkaError(LocalKafkaError):
    """Something that a local Kafka needs is not on this machine, and could not be fetched; the text says what."""


def install_jars(folder: Path) -> None:
    """Fetch the jars (some 45 MB) into `folder`, unless it is there; it appears only when it is complete.

    Raises NoLocalKafkaError if Maven is missing or fails.
    """
    if folder.is_dir():
        return
    if shutil.which("mvn") is None:
        raise NoLocalKafkaError(
            "Maven is needed to fetch Kafka, and no `mvn` was found: install Maven (on Debian: apt install maven)"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder.parent) as work:
        pom, fetched = Path(work, "pom.xml"), Path(work, "jars")
        pom.write_text(_POM)
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fetched}"]
        result = subprocess.run(
            ["mvn", "--batch-mode", "--file", str(pom), *goal],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if result.returncode != 0 or not fetched.is_dir():
            reason = maven_error(result.stdout + result.stderr)
            raise NoLocalKafkaError(f"Maven could not fetch Kafka {KAFKA_VERSION}: {reason}")
        try:
            fetched.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another install was first, with the same jars
                raise


def find_java() -> str:
    """Return the Java of $JAVA_HOME, else the one on the PATH.

    Raises:
        NoLocalKafkaError: There is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    remedy = f"Kafka {KAFKA_VERSION} needs Java {OLDEST_JAVA} or newer (on Debian: apt install default-jre-headless)"
    found = shutil.which(java)
    if found is None:
        place = f"in JAVA_HOME ({home})" if home else "on the PATH"
        raise NoLocalKafkaError(f"No Java was found {place}: {remedy}")
    result = subprocess.run([found, "-version"], check=False, capture_output=True, text=True, errors="replace")
    said = result.stderr + result.stdout
    version = java_version(said)
    if version is None or version < OLDEST_JAVA:
        first = said.strip().partition("\n")[0]
        raise NoLocalKafkaError(f"{found} is {first or 'of an unknown version'}: {remedy}")
    return found


def java_version(said: str) -> int | None:
    """Return the release from the output of `java -version`: 17 of "17.0.15", 8 of "1.8.0_412"; None if missing."""
    match = re.search(r'version "(?:1\.)?([0-9]+)', said)
    return int(match[1]) if match else None


def maven_error(said: str) -> str:
    """Return the first line of Maven's output that says what went wrong."""
    errors = (line.removeprefix("[ERROR]").strip() for line in said.splitlines() if line.startswith("[ERROR]"))
    return next((line for line in errors if line), "no reason given")


if __name__ == "__main__":  # while `make install-dev` fetches other things
    try:
        install_jars(JARS / KAFKA_VERSION)
    except LocalKafkaError as problem:
        sys.exit(str(problem))
