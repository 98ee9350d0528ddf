# CPython on Debian's stable release. A tag may come to name another image: who releases one names the digest as well,
# --build-arg BASE=python:3.13-slim-trixie@sha256:…
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv --without-pip /opt/build && python3 -m venv --without-pip /opt/worker
WORKDIR /source
COPY requirements-build.lock requirements-image.lock ./
RUN pip --python /opt/build/bin/python install --no-compile --require-hashes --requirement requirements-build.lock \
    && pip --python /opt/worker/bin/python install --no-compile --require-hashes --only-binary :all: \
        --requirement requirements-image.lock
COPY . .
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /opt/wheel \
    && pip --python /opt/worker/bin/python install --no-compile --no-deps --no-index /opt/wheel/*.whl \
    # Nobody can write bytecode later, and files' times don't outlive every registry: so it is neither dated nor checked.
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/worker/lib

FROM ${BASE}
ARG VERSION=unknown
LABEL org.opencontainers.image.title="orchestrator-worker" \
      org.opencontainers.image.description="Runs event-driven workflows, written as statecharts, on Kafka and PostgreSQL" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"
# The base comes with pip, with programs that make root of a user, and without the standard library's bytecode, which each
# start would make in vain.
RUN groupadd --gid 10001 worker \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin worker \
    && rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && python3 -m compileall -q --invalidation-mode unchecked-hash \
        -x '/(ensurepip|idlelib|lib2to3|pydoc_data|site-packages|dist-packages|test|tests|tkinter|turtledemo)/' \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /opt/worker /opt/worker
ENV PATH=/opt/worker/bin:$PATH WORKER_HTTP_PORT=8080
WORKDIR /app
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["worker", "health"]
ENTRYPOINT ["worker"]
CMD ["run"]
