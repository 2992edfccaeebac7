# Go and make are all that build and demo need. test installs the rest.

VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME   ?= 60s
BENCHFLAGS ?=
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

GO ?= go
# The packages without test/, whose own packages start servers and clients.
UNIT = $$($(GO) list ./... | grep -v '^ldapd/test/')

.DEFAULT_GOAL := help
.PHONY: help build demo test deps unit race integration fuzz lint bench certs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the static binary bin/ldapd
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ldapd ./cmd/ldapd

demo: build ## serve the built-in directory on 127.0.0.1:3389 (LDAP) and :6636 (LDAPS)
	bin/ldapd demo --state .demo

test: deps unit race ## install what the tests need, then run all of them

deps: ## install the tools that the tests need, where they are missing
	scripts/test-deps.sh

unit: ## run the unit tests
	$(GO) test $(UNIT)

# Not cached: some tests run a binary whose sources go test does not watch.
race: ## run all tests, those with other servers and clients too, under the race detector
	$(GO) test -race -count=1 -timeout 20m ./...

integration: ## run the tests that need other servers and clients
	$(GO) test -count=1 -timeout 15m ./test/...

fuzz: ## run every fuzz target for FUZZTIME (60s)
	GO=$(GO) FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

lint: ## check formatting, vet and staticcheck
	@out=$$(gofmt -l .); \
	if [ -n "$$out" ]; then echo "not formatted by gofmt:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

bench: build ## measure ldapd beside slapd and nmcclain/ldap, and count flows; BENCHFLAGS="-users 1000 -only bind"
	$(GO) run ./test/bench -ldapd bin/ldapd $(BENCHFLAGS)

certs: build ## make a throw-away CA and server certificate in certs/
	bin/ldapd certs certs

clean: ## remove what was built and installed inside the tree
	rm -rf bin .demo test/interop/.venv test/interop/node_modules test/interop/java/target
	rm -f certs/*.pem certs/*.key certs/*.crt
