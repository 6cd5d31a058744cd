# syntax=docker/dockerfile:1
# One image for every role: docker build -t gatemeter .

FROM rust:1.95-slim-bookworm AS build
# C and C++ for SQLite and the Kafka client; TLS and zlib that it is linked with.
RUN apt-get update \
  && apt-get install -y --no-install-recommends g++ make pkg-config libssl-dev zlib1g-dev \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# What was compiled stays in caches of the builder, so that the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
  --mount=type=cache,target=/src/target \
  cargo build --locked --profile image --bin gatemeter \
  && cp target/image/gatemeter /usr/local/bin/gatemeter

FROM debian:bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
  && rm -rf /var/lib/apt/lists/* \
  && groupadd --system --gid 10001 gatemeter \
  && useradd --system --uid 10001 --gid gatemeter --home-dir /data gatemeter \
  && install -d -o gatemeter -g gatemeter -m 0700 /data
COPY --from=build /usr/local/bin/gatemeter /usr/local/bin/gatemeter
ENV GATEMETER_DATA__DIR=/data
USER gatemeter
WORKDIR /data
VOLUME /data
EXPOSE 8001 8002 8003
STOPSIGNAL SIGTERM
ENTRYPOINT ["gatemeter"]
CMD ["--help"]
