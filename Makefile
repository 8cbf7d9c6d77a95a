# Everything a person or a CI runs. `make` lists the targets.

SHELL := /bin/bash
export CGO_ENABLED ?= 0
export GOFLAGS ?= -mod=readonly
export PONTAGE_SHARED ?= $(abspath ../shared)

TOOLS := build/tools
BIN := build/pontage
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO_FILES = $(shell git ls-files '*.go')

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build and start a working gateway: simulator, demo account and key, no configuration
	$(BIN) dev

.PHONY: build
build: ## build the product into build/pontage
	@mkdir -p build
	go build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/pontage

# --- checks -----------------------------------------------------------------

$(TOOLS)/.stamp: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	cd tools && GOFLAGS=-mod=readonly go build -o ../$(TOOLS)/ tool
	@touch $@

.PHONY: tools
tools: $(TOOLS)/.stamp ## build the pinned tools into build/tools

.PHONY: check
check: tools ## format, modules, vet, staticcheck, architecture, and generated files up to date
	@bad=$$($(TOOLS)/gofumpt -l $(GO_FILES)); if [ -n "$$bad" ]; then echo "gofumpt would change:"; echo "$$bad"; exit 1; fi
	go mod tidy -diff
	go vet ./...
	$(TOOLS)/staticcheck ./...
	cd test/compat && go vet ./... && ../../$(TOOLS)/staticcheck ./...
	go test -count=1 ./internal/architecture/...
	$(MAKE) --no-print-directory generated

.PHONY: generated
generated: ## fail if a generated document is stale
	go test -count=1 -run 'Generated|Reference|Golden' ./internal/contract/... ./internal/config/... ./internal/gate/...

.PHONY: generate
generate: ## write the generated documents again
	go test -count=1 -run 'Generated|Reference|Golden' ./internal/contract/... ./internal/config/... ./internal/gate/... -args -update

# --- tests ------------------------------------------------------------------

.PHONY: test
test: needs build ## install what the tests need, and run all of them
	CGO_ENABLED=1 go test -race -shuffle=on -timeout 20m $$(go list ./... | grep -v '/test/')
	$(MAKE) --no-print-directory allocs bars outside fidelity rows kills compat
	$(MAKE) --no-print-directory soak SOAK=40s

.PHONY: allocs
allocs: ## the ceilings on allocations, which cannot be counted with the race detector
	go test -count=1 -run Alloc ./internal/...

.PHONY: needs
needs: ## find or install what the tests need beside Go: a C compiler for -race, Node for the npm SDKs, requests for Python, curl, strace
	@test/needs.sh

.PHONY: outside
outside: build ## the built binary from outside: recorded traffic, bad callers and providers, endings, failing providers, what operators see, failing machines, many entries
	PONTAGE_BIN=$(abspath $(BIN)) go test -count=1 -timeout 15m ./test/traffic/... ./test/hostile/... ./test/endings/... ./test/chaos/... ./test/operate/... ./test/parts/... ./test/harness/... ./test/bench/... ./test/scale/...

.PHONY: fidelity
fidelity: build ## every recording behind the built binary, in every dialect that callers may speak; writes build/fidelity.jsonl
	PONTAGE_BIN=$(abspath $(BIN)) go test -v -count=1 -timeout 10m ./test/fidelity/...

.PHONY: compat
compat: build ## the official SDKs, Go and npm, frameworks and agents, against the built binary
	cd test/compat && PONTAGE_BIN=$(abspath $(BIN)) go test -count=1 -timeout 15m ./...

.PHONY: rows
rows: build ## every documented row of the contracts, brought about on a running gateway
	PONTAGE_BIN=$(abspath $(BIN)) go test -count=1 -timeout 10m ./test/rows/...
	@awk -F'"result":"' '{split($$2,a,"\""); n[a[1]]++} END{for (r in n) printf "rows %s: %d\n", r, n[r]}' build/rows.jsonl

KILLS ?= 48
KILLS_TIMEOUT ?= 15m
.PHONY: kills
kills: build ## kill -9 the binary under load KILLS times, and count the money
	PONTAGE_BIN=$(abspath $(BIN)) PONTAGE_KILLS=$(KILLS) go test -v -count=1 -timeout $(KILLS_TIMEOUT) ./test/kill

KILLS_LONG ?= 1000
ACKS_LONG ?= 1000000
KILLS_LONG_TIME ?= 3h
.PHONY: kills-long
kills-long: build ## the same, KILLS_LONG kills and ACKS_LONG answers, for at most KILLS_LONG_TIME; writes build/kills-long.json
	PONTAGE_BIN=$(abspath $(BIN)) PONTAGE_KILLS_LONG=$(KILLS_LONG) PONTAGE_ACKS_LONG=$(ACKS_LONG) PONTAGE_KILLS_LONG_TIME=$(KILLS_LONG_TIME) \
		go test -v -count=1 -timeout 0 -run '^TestALongRun$$' ./test/kill

FAILOVER ?= 100000
.PHONY: failover
failover: build ## FAILOVER calls while one of three providers fails at a time, and then all; writes build/failover.json
	PONTAGE_BIN=$(abspath $(BIN)) PONTAGE_FAILOVER=$(FAILOVER) go test -v -count=1 -timeout 0 -run FailoverUnderLoad ./test/chaos

SOAK ?= 30m
.PHONY: soak
soak: build ## traffic of every kind under faults of every kind for SOAK, and whether anything piles up; writes build/soak.json
	PONTAGE_BIN=$(abspath $(BIN)) PONTAGE_SOAK=$(SOAK) go test -v -count=1 -timeout 0 -run NothingPilesUp ./test/soak

.PHONY: simmutants
simmutants: ## each seeded defect of the ledger, and the seed of the simulator that sees it
	go test -count=1 -tags mutation -run 'TheSimulatorSees' -v ./internal/ledger

.PHONY: bars
bars: simmutants ## what takes too long with the race detector: 2,400 seeds of the simulator, 200 histories, millions of prices, 60 power cuts
	go test -count=1 -run 'NoCrash|Linearizable|Million|PowerLoss' -v ./internal/ledger ./internal/store/sqlite ./internal/catalog ./internal/money

SIM_SEEDS ?= 100000
SIM_FROM ?= 1
.PHONY: sim
sim: ## simulate SIM_SEEDS runs of the ledger's engine, from the seed SIM_FROM on
	PONTAGE_SIM_SEEDS=$(SIM_SEEDS) PONTAGE_SIM_FROM=$(SIM_FROM) go test -count=1 -timeout 2h -run 'NoCrash' -v ./internal/ledger

.PHONY: mutants
mutants: simmutants ## prove that the simulator and the kill harness see each seeded defect of the ledger
	@mkdir -p build
	go build -trimpath -tags mutation -o build/pontage-mutant ./cmd/pontage
	PONTAGE_BIN=$(abspath build/pontage-mutant) PONTAGE_MUTANTS=1 go test -v -count=1 -timeout 30m -run Mutation ./test/kill

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@for pkg in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; go test -run='^$$' -fuzz="^$$f\$$" -fuzztime=$(FUZZTIME) $$pkg || exit 1; \
	  done; done

.PHONY: bench
bench: build ## the gateway beside a bare reverse proxy, in one run
	@mkdir -p build
	go run ./test/bench -bin $(BIN) -out build/bench.txt

SCALE ?= 10000000
.PHONY: scale
scale: build ## verify a journal of SCALE entries, and say what that takes
	PONTAGE_BIN=$(abspath $(BIN)) PONTAGE_SCALE_ENTRIES=$(SCALE) go test -v -count=1 -timeout 60m ./test/scale

.PHONY: microbench
microbench: ## the benchmarks beside the code, for benchstat
	go test -run='^$$' -bench=. -benchmem -count=6 ./internal/... | tee build/microbench.txt

.PHONY: clean
clean: ## remove what targets write
	rm -rf build
