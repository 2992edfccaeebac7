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

# Nothing is set here, so that the variables of authentik's LDAP outpost have
# their say. users.yaml is looked for in this directory.
WORKDIR /etc/ldapd
VOLUME /var/lib/ldapd
EXPOSE 3389 6636 9300
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s CMD ["/ldapd", "healthcheck"]
ENTRYPOINT ["/ldapd"]
CMD ["serve"]
