# Everything that CI calls is here, and nothing that a developer can't call.

GO          ?= go
DESTDIR     ?=
PREFIX      ?= /usr/local
SUITE       ?= trixie
SUITES      ?= trixie bookworm forky
FUZZTIME    ?= 60s
VMKERNEL    ?=
SELINUX     ?=
VMRUN       ?= $(if $(RUN),$(RUN),^(TestEveryController|TestVersionTells|TestLimitsAreInForce|TestCPUQuotaHolds|TestABuildOutOf|TestDaemonOutOf|TestDaemonWithTwenty|TestAppArmor|TestSixWays|TestContentOfBuilds))
MATRIX      ?= -matrix.all
CANCELS     ?= 200
ROUNDS      ?= 10
BUILDS      ?= 1000
BEFORE      ?=
RACE        ?=
PAIRS       ?= 20
FILTER      ?= .
FILES       ?= 070-build 030-run run bud
SEED        ?= 1
MINUTES     ?= 1
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null | grep '^v' | sed 's/^v//' || true)
GOTESTSUM   ?= gotest.tools/gotestsum@v1.13.0
GREMLINS    ?= github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0
PACKAGES    ?= survivors runner observe scopes daemon
NFPM        ?= github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
CYCLONEDX   ?= github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
GOLANGCI    ?= github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.13.0
CHECKLOCKS  ?= gvisor.dev/gvisor/tools/checklocks/cmd/checklocks@v0.0.0-20260905035102-160fafc42237

ifeq ($(strip $(VERSION)),)
override VERSION := 0.1.0-dev
endif

PROGRAMS := buildwatchd buildwatchctl buildwatch-runtime buildwatch-keeper buildwatch-reclaim
LDFLAGS   = -s -w -X github.com/buildwatch/buildwatch/internal/version.Version=$(VERSION)
GO_BUILD  = CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'
EARLY     = -E github.com/buildwatch/buildwatch/internal/early.entry
ENTRY     = $(if $(filter amd64 arm64,$(shell $(GO) env GOARCH)),$(EARLY))
UNITS     = buildwatchd.service buildwatchd.socket buildwatchd-metrics.socket
PACKAGE   = VERSION='$(VERSION)' GO='$(GO)' NFPM='$(GO) run $(NFPM)' dist/packages/build.sh
MACHINE   = $(CURDIR)/build/testmachine run --suite $(SUITE)

.DEFAULT_GOAL := help
.PHONY: help build machine-binaries cross packages release testmachine specimens unit fuzz generate mutants test integration podman-machine matrix versions demo bench bench-api bench-scale bench-peers bench-storage chaos dashboard upstream lint lint-text lint-units lint-packages lint-prometheus install uninstall clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the programs, static, into build/
	$(GO_BUILD) -o build/ $(PROGRAMS:%=./cmd/%)
	$(if $(RACE),$(subst CGO_ENABLED=0,CGO_ENABLED=1,$(GO_BUILD)) -race -o build/ ./cmd/buildwatchd ./cmd/buildwatchctl)
# Its entry point is its own: see internal/early.
	$(GO_BUILD:%'=% $(ENTRY)') -o build/ ./cmd/buildwatch-runtime
# It relies on how this Go compiles (package early), and every container of podman's is started by it.
	@test $$($(GO) env GOARCH) != $$($(GO) env GOHOSTARCH) || build/buildwatch-runtime 2>&1 | grep -q 'not an OCI runtime' || { echo 'build/buildwatch-runtime does not start: another version of Go?' >&2; rm build/buildwatch-runtime; exit 1; }

machine-binaries: linux-amd64 linux-arm64 ## build the programs for podman machines, into build/linux-ARCH/

linux-%:
	GOOS=linux GOARCH=$* $(GO_BUILD) -o build/$@/ $(PROGRAMS:%=./cmd/%)
	GOOS=linux GOARCH=$* $(GO_BUILD:%'=% $(EARLY)') -o build/$@/ ./cmd/buildwatch-runtime

cross: machine-binaries ## build that, and buildwatchctl for macOS and Windows, into build/OS-ARCH/
	GOOS=darwin GOARCH=arm64 $(GO_BUILD) -o build/darwin-arm64/ ./cmd/buildwatchctl
	GOOS=windows GOARCH=amd64 $(GO_BUILD) -o build/windows-amd64/ ./cmd/buildwatchctl

packages: build machine-binaries ## make .deb and .rpm for amd64 and arm64, in build/packages/
	rm -rf build/packages
	$(PACKAGE) amd64
	$(PACKAGE) arm64

release: packages cross ## make all that is published of a version, with checksums and SBOMs, in build/release/
	VERSION='$(VERSION)' SBOM='$(GO) run $(CYCLONEDX)' dist/packages/release.sh

testmachine: specimens
	$(GO_BUILD) -o build/ ./test/machine/cmd/testmachine
# A daemon that a test can make fail at each step: see internal/failpoint.
	$(GO_BUILD) -tags failpoints -o build/failpoints/ ./cmd/buildwatchd

# Programs that tests run under emulation; hang-bare is one without a runtime, see there.
specimens: GO_SPECIMEN = GOOS=linux GOARCH=arm64 CGO_ENABLED=0 $(GO) build -trimpath
specimens:
	$(GO_SPECIMEN) -o build/specimens/ ./test/specimens/...
	$(GO_SPECIMEN) -ldflags '-E main.hang' -o build/specimens/hang-bare ./test/specimens/hang

unit: ## run the unit tests (no root needed; what is left out without it comes last)
	$(GO) run $(GOTESTSUM) --format pkgname --format-hide-empty-pkg -- -p 8 -parallel 8 ./... # most of them wait, and compute little

generate: ## write what is made from the code: tables in docs/, manual pages, the sample configuration
	$(GO) test ./docs ./internal/config ./internal/metrics ./internal/cli -update

# Each goes on from where its last run has come to: what was found interesting is kept, in
# `go env GOCACHE`/fuzz.
fuzz: ## fuzz whatever parses foreign bytes, each for FUZZTIME=60s (RUN=REGEXP)
	@for file in $$(git grep -l '^func Fuzz' -- '*_test.go'); do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z]*\).*/\1/p' "$$file" | grep -E '$(or $(RUN),.)'); do \
			echo "$$(dirname "$$file") $$name"; \
			$(GO) test "./$$(dirname "$$file")" -run '^$$' -fuzz "^$$name\$$" -fuzztime '$(FUZZTIME)' || exit 1; \
		done; \
	done

# No part of CI: minutes for each package. docs/testing.md has what was found.
mutants: ## try whether the unit tests notice changed conditions (PACKAGES="survivors daemon")
	@for package in $(PACKAGES); do \
		$(GO) run $(GREMLINS) unleash --invert-logical --timeout-coefficient 20 -S lt "./internal/$$package" || exit 1; \
	done

integration: build packages testmachine ## run the integration tests in throwaway machines (root; SUITE=trixie; RACE=1 for programs with the race detector)
	$(GO) test -c -tags integration -o build/integration.test ./test/integration
	$(GO_BUILD) -o build/ ./test/suites
	$(GO) run $(GOTESTSUM) --format testname --jsonfile build/integration.json \
		--hide-summary=output --ignore-non-json-output-lines --raw-command -- build/suites $(RUN:%=-run '%') $(SUITE)

# No part of CI: an emulated machine takes minutes to boot. docs/compatibility.md has the last result.
vm: build testmachine ## run a selection in a VM: real PID 1, a kernel of its own, all controllers (root; SUITE=, VMKERNEL=trixie-backports; SELINUX=1 RUN=TestSELinux)
	$(GO) test -tags 'integration vm' -count=1 -v -timeout 3h -run '$(VMRUN)' \
		-exec "$(CURDIR)/build/testmachine run --vm --kernel '$(VMKERNEL)' $(if $(SELINUX),--selinux) --suite $(SUITE) --" ./test/integration

# No part of CI, likewise. docs/podman-machine.md says what it is made of, and what was seen.
podman-machine: build testmachine ## try buildwatch in a real podman machine, emulated, from its host (root; RUN=REGEXP)
	$(GO) test -tags podmanmachine -count=1 -v -timeout 3h $(RUN:%=-run '%') \
		-exec "$(CURDIR)/build/testmachine run --suite forky --podman-machine --no-install --" ./test/podmanmachine

test: unit ## run every test, the integration tests on each suite
	$(MAKE) integration SUITE='$(SUITES)'

# A cell that fails is in the page; the tests of `make test` are what must not fail.
matrix: build testmachine ## try every cell of the matrix on each suite, write docs/matrix.md (root; hours)
	for suite in $(SUITES); do \
		$(GO) test -tags integration -count=1 -timeout 12h -v -run '^TestMatrix$$' \
			-exec "$(CURDIR)/build/testmachine run --suite $$suite --" ./test/integration -args $(MATRIX) \
			>build/matrix-$$suite.log 2>&1; \
	done
	$(GO) run ./test/matrix/cmd/matrixpage -command 'make matrix$(if $(filter -matrix.all,$(MATRIX)),, MATRIX=$(MATRIX))' \
		$(SUITES:%=build/matrix-%.log) >build/matrix.md
	mv build/matrix.md docs/matrix.md

versions: testmachine ## write the versions that the suites have now into docs/compatibility.md (root)
	build/testmachine versions --all >build/versions.md
	sed -i -e '/^<!-- versions -->$$/,/^<!-- end -->$$/{//!d}' -e '/^<!-- versions -->$$/r build/versions.md' docs/compatibility.md

demo: build ## cancel an emulated build without buildwatch, and with it (root)
	$(GO_BUILD) -o build/ ./test/demo
	build/demo --suite $(SUITE)

bench: build testmachine ## measure cancel-to-gone and what the wrapper costs (root)
	$(GO_BUILD) -o build/ ./test/bench
	$(MACHINE) -- build/bench

bench-api: build testmachine $(if $(BEFORE),build/before) ## measure how soon API builds end with their clients, and what waiting costs (root; ROUNDS=10 BEFORE=COMMIT)
	$(GO_BUILD) -o build/ ./test/bench
	$(MACHINE) -- build/bench -api $(ROUNDS) $(if $(BEFORE),-before build/before)

bench-scale: build testmachine ## measure 1,000 builds at once, with stand-ins for containers (root; BUILDS=1000)
	$(GO_BUILD) -o build/ ./test/bench
	$(MACHINE) -- build/bench -scale $(BUILDS)

bench-peers: build testmachine ## cancel one build under podman, with and without buildwatch, and under Docker with BuildKit (root; ROUNDS=10)
	$(GO_BUILD) -o build/ ./test/bench
	$(MACHINE) --with docker -- build/bench -peers $(ROUNDS)

.PHONY: build/before
build/before:
	rm -rf build/before build/before.src && mkdir -p build/before.src
	git archive '$(BEFORE)' | tar -x -C build/before.src
	cd build/before.src && $(GO_BUILD) -buildvcs=false -o ../before/ ./cmd/buildwatchd

bench-storage: build testmachine ## cancel 200 builds in a row, and measure what storage takes, and PAIRS of the next build (root; CANCELS=200 PAIRS=20)
	$(GO_BUILD) -o build/ ./test/bench
	$(MACHINE) -- build/bench -storage $(CANCELS) -next-build $(PAIRS)

# No part of CI, of which lint-prometheus asks the same of builds that are only counted.
dashboard: build testmachine ## have a real Prometheus answer for each panel, while builds are cancelled, stuck and stalled (root)
	$(GO) test -tags 'integration prometheus' -count=1 -v -exec '$(MACHINE) --with prometheus --' -run TestDashboardOfARealRun ./test/integration

# What is done comes from the seed, when it is done from the machine's speed.
chaos: build testmachine ## build, cancel and break at random, and check both laws meanwhile (root; SEED=1 MINUTES=1)
	$(GO_BUILD) -o build/ ./test/chaos
	$(MACHINE) -- build/chaos -seed $(SEED) -for $(MINUTES)m

# No part of CI: an hour or two. docs/testing.md has the last result.
upstream: build testmachine ## run podman's and buildah's own tests of builds, with the wrapper and without (root; FILTER=REGEXP FILES="run bud")
	test/upstream/get.sh $(SUITE)
	$(MACHINE) --with bats -- sh test/upstream/run.sh $(SUITE) '$(FILTER)' $(FILES)

lint: cross lint-text lint-units lint-packages lint-prometheus ## gofmt, go vet, golangci-lint, locks, go mod tidy, what is for other systems; scripts, manual pages, units
	@test -z "$$(gofmt -l api client cmd internal test | tee /dev/stderr)" || { echo 'not gofmt: the files above' >&2; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags 'integration prometheus' ./...
	$(GO) vet -tags podmanmachine ./test/podmanmachine
	GOARCH=arm64 $(GO) vet ./test/specimens/...
	$(GO) run $(GOLANGCI) run ./...
	GOBIN=$(CURDIR)/build/lint $(GO) install $(CHECKLOCKS)
	$(GO) vet -vettool=$(CURDIR)/build/lint/checklocks -inferred=false ./internal/...
	$(GO) run ./test/lockorder ./internal/... ./client ./api
	$(GO) mod tidy -diff

# For what of this a Debian lacks: apt-get install shellcheck mandoc systemd
lint-text:
	shellcheck -x -P SCRIPTDIR $$(git grep -lE '^#!.*sh$$')
	mandoc -T lint -W warning man/*

# apt-get install prometheus, which has promtool.
lint-prometheus:
	promtool check rules dist/prometheus/alerts/*.yaml dist/prometheus/rules/*.yaml
	promtool test rules dist/prometheus/tests/*.yaml
	$(GO) test -tags prometheus -count=1 ./test/prometheus

# apt-get install lintian rpmlint. Built again, they are the same.
lint-packages: packages
	sha256sum build/packages/* >build/packages.sha256
	$(PACKAGE) amd64
	sha256sum --check --quiet build/packages.sha256
	lintian --fail-on error,warning --tag-display-limit 0 build/packages/*.deb
	rpmlint --config dist/packages/rpmlint.toml build/packages/*.rpm

# systemd looks for the programs and says what a unit exposes of the host; maxExposure of the integration tests.
lint-units:
	@mkdir -p build/lint/bin && cp /bin/true build/lint/bin/buildwatchd
	@for unit in $(UNITS); do sed 's|@PREFIX@|$(CURDIR)/build/lint|g' "dist/systemd/$$unit.in" >"build/lint/$$unit"; done
# systemd 252 does not know the second Type=, and says so.
	@found=$$(cd build/lint && systemd-analyze verify --man=no $(UNITS) 2>&1 | grep -v 'ignoring: notify-reload' | tee /dev/stderr); test -z "$$found"
	systemd-analyze security --no-pager --offline=yes --threshold=34 build/lint/buildwatchd.service >build/lint/exposure || \
		{ cat build/lint/exposure; exit 1; }

install: ## install what make build built (DESTDIR=, PREFIX=/usr/local)
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' sh dist/install.sh

uninstall: ## remove it again; running podman processes go on
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' sh dist/uninstall.sh

clean: ## remove build/
	rm -rf build
