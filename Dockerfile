# Builds a static binary and puts it alone into an empty image. It needs no
# BuildKit feature, so that the builder of every Docker can run it.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/redoubt ./cmd/redoubt \
    && mkdir /out/data

FROM scratch
COPY --from=build /out/redoubt /usr/local/bin/redoubt
# A named volume takes its owner from the directory that it covers.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV REDOUBT_LISTEN=0.0.0.0:6379 \
    REDOUBT_RAFT_LISTEN=0.0.0.0:16379 \
    REDOUBT_DATA_DIR=/data
VOLUME /data
EXPOSE 6379 16379
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/redoubt", "health", "--addr", "127.0.0.1:6379"]
ENTRYPOINT ["/usr/local/bin/redoubt"]
