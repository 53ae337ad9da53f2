# The targets of daily work. CI runs .ci/run, which uses them.
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME   ?= 20s
DURATION   ?= 30m
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Packages in which goroutines share memory: these are worth the race detector's time.
RACE = . ./fsm/... ./raftnode/... ./server/... ./snapshot/...

.PHONY: help build test race lint fuzz soak torture compat clients damage container bench stages image

help: ## Show this list.
	@awk -F ': *## ' '/^[a-z]+:.*##/ { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/redoubt.
	CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/redoubt ./cmd/redoubt

test: ## Run all tests; needs only Go.
	go test ./...
	go -C test/bench test ./...
	go -C test/s3 test ./...

race: ## Run the packages with concurrency under the race detector; needs a C compiler.
	go test -race $(RACE)

lint: ## gofmt, go vet, staticcheck, in all modules, with and without failpoints.
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not formatted:"; echo "$$files"; exit 1; fi
	go vet ./... && go vet -tags failpoints ./...
	$(STATICCHECK) ./... && $(STATICCHECK) -tags failpoints ./...
	@for module in test/clients/gored test/clients/apps test/bench test/s3; do \
		(cd $$module && go vet ./... && $(STATICCHECK) ./...) || exit 1; \
	done

fuzz: ## Run every fuzz target for FUZZTIME (20s).
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

soak: ## Simulated clusters for DURATION (30m), from a seed that is new each time.
	go test . -run 'TestSim$$' -sim.for $(DURATION) -sim.from $$(date +%s)000 -timeout 0

torture: ## Faults and checked histories for DURATION (30m), round after round; SEED=n begins with that one.
	go test -count=1 -timeout 0 -v -run TestTorture ./test/torture -args -duration $(DURATION) -seed $(or $(SEED),0)

compat: ## Compare replies with a live redis-server, byte by byte; needs redis-server.
	go test -count=1 ./test/compat/...

clients: ## Client programs against three nodes, with kill -9; needs redis, telnet, python3-redis, -rq, -celery.
	test/clients/run

damage: ## Damage the files of stopped nodes at many more places than go test does; DAMAGE=50 of each kind.
	go test -count=1 -timeout 2h ./test/damage -damage.count $(or $(DAMAGE),50)
	go test -count=1 -timeout 2h ./raftnode -run TestLogDamage -log.damage $(or $(DAMAGE),50)

container: ## Build the image, run the compose cluster, stop its leader; needs Docker.
	test/container/run

bench: ## Compare nodes with one redis-server, as tables and docs/bench.svg; BENCH=--quick, BENCH=--help.
	go -C test/bench build -o ../../bin/bench .
	bin/bench --svg docs/bench.svg $(BENCH)

stages: ## Benchmarks of each stage that a command goes through, with what it allocates.
	go test -run '^$$' -bench . -benchmem ./resp ./server ./fsm ./command ./raftnode .

image: ## Build the image redoubt.
	docker build --build-arg VERSION=$(VERSION) --tag redoubt .
