# SPDX-License-Identifier: Apache-2.0
#
# Targets for a repository that holds a workspace: include reconcile.mk

WORKSPACE ?= .
BASE ?= HEAD

.PHONY: validate plan deploy

validate: ## check every file of the workspace
	reconcile validate $(WORKSPACE)

plan: validate ## what the change since BASE does; neither Podman nor network needed
	reconcile --dry-run --exit-zero-on-changes --against $(BASE) $(WORKSPACE)

deploy: validate ## show what would change on this host, and make it so: just that
	plan=$$(mktemp) && trap 'rm -f "$$plan"' EXIT && \
		reconcile --dry-run --exit-zero-on-changes --save "$$plan" $(WORKSPACE) && \
		reconcile --plan "$$plan" $(WORKSPACE)
