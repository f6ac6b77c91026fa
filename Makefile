# SPDX-License-Identifier: Apache-2.0

SHELL = /bin/sh
.DEFAULT_GOAL = help

export CGO_ENABLED = 0
TAGS = remote containers_image_openpgp exclude_graphdriver_btrfs
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOTEST = go test -tags '$(TAGS)' -timeout 25m
BUILD = go build -trimpath -tags '$(TAGS)'
EMBEDDED = cmd/reconcile/embedded
FUZZTIME = 1m

.PHONY: help build helper deps test test-podman5 test-registry check bench fuzz demo cover clean

help: ## list what make can do
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1	/p' $(firstword $(MAKEFILE_LIST)) | awk -F '\t' '{ printf "%-14s %s\n", $$1, $$2 }'

build: helper ## leave bin/reconcile and bin/agent-server, and print their sizes
	@$(BUILD) -ldflags '-s -w -X main.version=$(VERSION)' -o bin/reconcile ./cmd/reconcile
	@for f in bin/reconcile bin/agent-server; do \
		if ldd $$f >/dev/null 2>&1; then kind='not static'; else kind=static; fi; \
		awk -v f=$$f -v k="$$kind" -v s=$$(wc -c <$$f) 'BEGIN { printf "%-17s %5.1f MB  %s\n", f, s / 1e6, k }'; \
		[ "$$kind" = static ] || exit 1; \
	done

# The helper folder of containers, where the build of reconcile embeds it.
helper:
	@mkdir -p bin
	@$(BUILD) -ldflags '-s -w' -o bin/agent-server ./cmd/agent-server
	@cp cmd/agent-server/default_cli.sh bin/default_cli.sh
	@for f in agent-server default_cli.sh; do \
		cmp -s bin/$$f $(EMBEDDED)/$$f || cp bin/$$f $(EMBEDDED)/$$f; \
	done

deps:
	@.ci/install-podman
	@.ci/build-sops >/dev/null

test: deps helper ## run all tests, real Podman included; installs what is missing
	$(GOTEST) ./...

# The scripts that meet what the versions of Podman differ in.
PODMAN5_SCRIPTS = ^TestScript$$/^(converge|crash|cron|daemonlife|daemons|destroy|dispatch|dispatchagents|dispatchimages|dispatchleaks|dispatchservice|drift|exec|flap|health|hooksrun|idempotent|images|installagain|invoke|labels|limits|logs|metadata|operate|ownership|podman|ports|processes|revisions|revisionspin|revisionspull|route|secrets|seedtaskagents|supervise|tasklogs|tasks|tasksleaks|volumes)$$

test-podman5: deps helper ## conformance and those scripts once more, on a Podman 5 that is built once
	@podman=$$(.ci/build-podman5) && \
		echo "RECONCILE_TEST_PODMAN=$$podman" && \
		RECONCILE_TEST_PODMAN=$$podman $(GOTEST) -count=1 ./podman/... && \
		RECONCILE_TEST_PODMAN=$$podman $(GOTEST) -count=1 -run '$(PODMAN5_SCRIPTS)' ./cmd/reconcile

test-registry: deps helper ## run the examples of other formats once more, with real images of RECONCILE_TEST_REGISTRY
	RECONCILE_TEST_REGISTRY=$${RECONCILE_TEST_REGISTRY:-docker.io/library} $(GOTEST) -count=1 -run '^TestScriptRegistry$$' ./cmd/reconcile

check: ## vet, staticcheck, gofumpt, and the rules of the repository
	go mod verify
	go vet -tags '$(TAGS)' ./...
	go tool staticcheck -tags '$(TAGS)' ./...
	@list=$$(git ls-files '*.go' | xargs go tool gofumpt -l) && if [ -n "$$list" ]; then echo "not formatted by gofumpt:"; echo "$$list"; exit 1; fi
	@for f in $$(git ls-files '*.sh' .ci); do case $$(head -n 1 $$f) in *bash) bash -n $$f || exit 1;; *sh) sh -n $$f || exit 1;; esac; done
	$(GOTEST) -count=1 .

bench: deps helper ## run the benchmarks, which report ratios to floors of the same run
	@$(GOTEST) -timeout 60m -run '^$$' -bench . ./... | .ci/ratios

fuzz: ## run each fuzz target for FUZZTIME (1m)
	@for pkg in $$(go list -tags '$(TAGS)' ./...); do \
		for target in $$($(GOTEST) -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GOTEST) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

demo: deps build ## converge examples/quickstart on this machine, and show each step
	@examples/quickstart/demo.sh

cover: deps helper ## run all tests and leave the coverage in cover.out
	$(GOTEST) -coverpkg=./... -coverprofile=cover.out ./...
	@go tool cover -func=cover.out | tail -n 1

clean: ## remove what was built
	rm -rf bin cover.out $(EMBEDDED)/agent-server $(EMBEDDED)/default_cli.sh
