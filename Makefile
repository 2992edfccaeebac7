# Go and make are all that build and demo need. test installs the rest.

VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME   ?= 60s
BENCHFLAGS ?=
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

GO ?= go
# Two modules: what ships, and test/, whose dependencies do not. These of its
# packages need no other servers and clients.
MODULES = . test
UNIT    = ./authentiktest ./bench/economy ./build ./docs ./mutate

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
	$(GO) test ./...
	$(GO) test -C test $(UNIT)

# Not cached: some tests run a binary whose sources go test does not watch.
race: ## run all tests, those with other servers and clients too, under the race detector
	@for m in $(MODULES); do (set -x; $(GO) test -C $$m -race -count=1 -timeout 20m ./...) || exit; done

integration: ## run the tests that need other servers and clients
	$(GO) test -C test -count=1 -timeout 15m ./...

fuzz: ## run every fuzz target for FUZZTIME (60s)
	GO=$(GO) FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

lint: ## check formatting, go.mod, vet and staticcheck
	@out=$$(gofmt -l .); \
	if [ -n "$$out" ]; then echo "not formatted by gofmt:"; echo "$$out"; exit 1; fi
	@for m in $(MODULES); do (set -x; $(GO) mod -C $$m tidy -diff && $(GO) vet -C $$m ./... && \
		$(GO) run -C $$m $(STATICCHECK) ./...) || exit; done

bench: build ## measure ldapd beside slapd and nmcclain/ldap, and count flows; BENCHFLAGS="-users 1000 -only bind"
	$(GO) run -C test ./bench -ldapd $(CURDIR)/bin/ldapd $(BENCHFLAGS)

certs: build ## make a throw-away CA and server certificate in certs/
	bin/ldapd certs certs

clean: ## remove what was built and installed inside the tree
	rm -rf bin .demo test/interop/.venv test/interop/node_modules test/interop/java/target
	rm -f certs/*.pem certs/*.key certs/*.crt
