# The executable alone, without a shell, as a user that is not root. One build for both architectures: Deno compiles for
# the other one as well.
#   docker build -t p2p-ingest .
FROM --platform=$BUILDPLATFORM denoland/deno:2.9.6 AS build
ARG TARGETARCH=amd64
# true: an executable that always sends traces (docs/traces.md).
ARG OTEL_DENO=false
WORKDIR /app
COPY deno.json deno.lock main.ts ./
COPY src src
COPY sql sql
RUN case "$TARGETARCH" in \
      amd64) cpu=x86_64 ;; \
      arm64) cpu=aarch64 ;; \
      *) echo "no executable for $TARGETARCH" >&2; exit 1 ;; \
    esac \
 && OTEL_DENO="$OTEL_DENO" TARGET="--target=$cpu-unknown-linux-gnu" deno task compile

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="p2p-ingest" \
      org.opencontainers.image.description="The whole Binance P2P market, every ten minutes, into your own PostgreSQL"
COPY --from=build /app/dist/p2p-ingest /usr/local/bin/p2p-ingest
ENV LISTEN_HOST=0.0.0.0 \
    LOG_FORMAT=json
USER nonroot
EXPOSE 9090
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["/usr/local/bin/p2p-ingest", "health"]
ENTRYPOINT ["/usr/local/bin/p2p-ingest"]
CMD ["run"]
