FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=docker
RUN make build VERSION="$VERSION" && install -d -m 0700 /state

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/bin/ldapd /ldapd
COPY --from=build --chown=65532:65532 /state /var/lib/ldapd
USER 65532:65532

# Every key of ldapd.example.yaml is a variable like these.
ENV LDAPD_LISTEN_LDAP=:3389 \
    LDAPD_LISTEN_LDAPS=:6636 \
    LDAPD_LISTEN_ADMIN=:9300 \
    LDAPD_STATE_DIR=/var/lib/ldapd \
    LDAPD_FILE_PATH=/etc/ldapd/users.yaml
VOLUME /var/lib/ldapd
EXPOSE 3389 6636 9300
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s CMD ["/ldapd", "healthcheck"]
ENTRYPOINT ["/ldapd"]
CMD ["serve"]
