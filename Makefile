# Everything builds with the same settings, so that nothing is compiled twice.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

FUZZTIME ?= 1m
SCENARIO_ROUNDS ?= 30

.DEFAULT_GOAL := build
.PHONY: build test test-long lint check demo world bench controlplane tools clean fmt schema

build: ## build bin/pawl
	@go build -ldflags '$(LDFLAGS)' -o bin/pawl ./cmd/pawl

test: tools controlplane ## run the tests (they start the real servers they need)
	go test -timeout 20m ./...
	cd internal/testworld/controlplane/server && go test ./node

test-long: tools controlplane ## the same, scenarios of minutes (SCENARIO_ROUNDS=30), and every fuzz target for a while (FUZZTIME=1m)
	$(MAKE) test
	PAWL_SCENARIO_ROUNDS=$(SCENARIO_ROUNDS) PAWL_SCENARIO_FULL=1 go test -timeout 60m -count=1 -v -run '^TestScenario' ./cmd/pawl ./drift/cluster
	@for target in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
	  for name in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$target/*_test.go | sed 's/^func //'); do \
	    echo "$$target $$name"; go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) $$target || exit 1; \
	  done; \
	done

lint: ## format, vet, tidy
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted; run make fmt:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go mod tidy -diff

check: lint test ## what a change must pass before it lands

demo: tools controlplane build ## the whole loop on real parts, on this machine
	@bin/pawl demo $(ARGS)

world: tools controlplane build ## start the real servers and print where they are, until Ctrl-C
	@bin/pawl world $(ARGS)

bench: tools controlplane build ## measure this machine; prints a table
	@go run ./internal/bench --pawl bin/pawl $(ARGS)

controlplane: ## build etcd, the API server, the controllers and a simulated node, once
	@go run ./internal/testworld/controlplane/build

tools:
	@command -v git >/dev/null || { echo "git is missing: apt-get install git"; exit 1; }
	@test -x "$$(git --exec-path)/git-http-backend" || { echo "git-http-backend is missing: apt-get install git"; exit 1; }

fmt:
	gofmt -w $$(git ls-files '*.go')

schema: ## rewrite the committed JSON Schemas
	go test ./environments ./agent -run Schema -update

clean:
	rm -rf bin
