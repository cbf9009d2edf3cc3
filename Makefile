# The few things one does here. `make` alone prints this list.

.DEFAULT_GOAL := help
.PHONY: help run build test race fuzz requirements interop check lint vuln bench chaos chaos-long lib clean

export CGO_ENABLED := 0

help: ## print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## install what is missing, build, and start everything on http://127.0.0.1:8080
	@exec bin/whatchanged serve

build: lib ## build bin/whatchanged
	go build -o bin/whatchanged ./services/whatchanged

test: lib ## install what is missing and run all tests; RACE=1 has the race detector watch them (needs gcc)
	$(TESTING) go test $(DETECT) $$(go list ./... | grep -v services/e2e | grep -E '$(RACED)')
	$(if $(filter turns,$(RACE)),go test $$(go list ./... | grep -v services/e2e | grep -vE '$(RACED)'))
	$(TESTING_E2E) go test -timeout 20m $(DETECT_E2E) -count=1 ./services/e2e/... # it builds the program itself, which go test's cache does not see

# What tests wait for most is the disk; see .ci/scratch.
test: export GOTMPDIR := $(or $(GOTMPDIR),$(TMPDIR),/tmp)
test: export TMPDIR := $(shell .ci/scratch)

ifdef RACE
# The detector is C. It makes everything two to ten times slower, which the
# limit of one package's tests allows for.
TESTING := CGO_ENABLED=1
DETECT := -race -timeout 20m
ifneq ($(RACE),turns) # in which the end-to-end tests have none
TESTING_E2E := $(TESTING)
DETECT_E2E := $(DETECT)
endif
endif

# In turns the detector watches one half of the packages a day.
RACED := .
ifeq ($(RACE),turns)
RACED := $(if $(filter 1 3 5 7 9,$(shell date +%j | cut -c3)),/services/,/(pkg|normalizers|deploy)/|/normalizers$$)
endif

race: ## all tests with the race detector
	@$(MAKE) test RACE=1

TIME ?= 5m
fuzz: ## give fuzz targets their turns, TIME=5m in all; which ones depends on the day
	go run ./.ci/fuzz -time $(TIME)

requirements: lib ## run the tests that prove a requirement, and list what none proves
	@go run ./.ci/requirements

interop: lib ## let a real Gitea deliver to us; builds it the first time, in minutes, and is not part of check
	go test -tags interop -count=1 -timeout 60m -v ./services/e2e/interop

check: ## what CI runs: format, vet, lint, vulnerabilities, tests under the race detector, fuzzing
	.ci/run

lint: ## the linter alone, at its pinned version
	GOFLAGS= go tool -modfile=.ci/tools/go.mod golangci-lint run ./...

vuln: ## known vulnerabilities that our code reaches
	@.ci/vuln

bench: build ## load the pipeline on this machine and print the figures
	bin/whatchanged bench

MIX ?= 4m
chaos: lib ## kill, cut and fill a running installation, and want back all that it acknowledged
	go run ./services/e2e/chaos run --strikes 2 --time $(MIX)

ROUNDS ?= 10
STRIKES ?= 10
SEED ?= 0
FAULTS ?= all
RATE ?= 800
chaos-long: lib ## the same for hours (ROUNDS, STRIKES, SEED, FAULTS, RATE), added up in docs/reliability
	go run ./services/e2e/chaos run --rounds $(ROUNDS) --strikes $(STRIKES) --seed $(SEED) --faults $(FAULTS) --rate $(RATE) --keep docs/reliability

lib: ## install the embedded ClickHouse engine into the user's cache
	@sh pkg/chdb/lib/install.sh

clean: ## remove what was built, not the data
	rm -rf bin
