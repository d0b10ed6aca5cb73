# The daemon, its command line and the client for Python, on Debian without a compiler.
# `make image` builds it; `make image-pin` writes the digest of the base below, and
# `make image-dry-run` goes through the steps of the first stage without Docker.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# What is installed is what the lock names, by its hashes; nothing is compiled.
COPY requirements/run.txt requirements/run.txt
RUN python -m venv /opt/sidecard \
    && /opt/sidecard/bin/python -m pip install --disable-pip-version-check --no-cache-dir \
        --only-binary :all: --require-hashes --requirement requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY clients/python clients/python
COPY sidecard sidecard
# What builds wheels goes again, and then pip itself: nothing can be installed later.
RUN /opt/sidecard/bin/python -m pip install --disable-pip-version-check --no-cache-dir \
        --no-deps --no-build-isolation --no-index ./clients/python . \
    && /opt/sidecard/bin/python -m pip uninstall --disable-pip-version-check --yes \
        hatchling pathspec pluggy trove-classifiers setuptools pip \
    && mkdir -p /var/lib/sidecard

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="sidecard" \
      org.opencontainers.image.description="Dependable calls to language models, over gRPC" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/sidecard /opt/sidecard
# For `data_dir`: a volume mounted here belongs to the daemon's user.
COPY --from=build --chown=65532:65532 /var/lib/sidecard /var/lib/sidecard
# The root is read-only, in Kubernetes by its own word: bytecode was written above.
ENV PATH="/opt/sidecard/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNOUSERSITE=1 \
    PYTHONSAFEPATH=1
# In numbers, so that Kubernetes can tell that it isn't root.
USER 65532:65532
EXPOSE 7411 7412 7415
# Where there are no probes, as with plain Docker: whether the admin address answers.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/opt/sidecard/bin/sidecard", "status"]
ENTRYPOINT ["/opt/sidecard/bin/sidecard"]
CMD ["serve"]
