# terrarium: `make demo` and `make test` do everything on a fresh Debian 12 with Rust and root.

.PHONY: help build store demo test bench compare install check clean
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
PREFIX ?= /usr/local

# The analytics engine takes a quarter of an hour to build and hardly changes: it is built once for all checkouts of a user.
ENGINE_CACHE ?= $(or $(XDG_CACHE_HOME),$(if $(HOME),$(HOME)/.cache,$(CURDIR)/target))/terrarium-build
engine_cargo = cd engine && CARGO_TARGET_DIR='$(ENGINE_CACHE)' cargo

help:
	@echo 'make demo     install what is missing, build, and run a job that leaves daemons behind'
	@echo 'make test     install what is missing and run all tests (cgroup v2 in a virtual machine)'
	@echo 'make build    the release build at target/release/terrarium'
	@echo 'make store    the second program, target/release/terrarium-store: tables and reports (15 minutes the first time)'
	@echo 'make bench    measure against bubblewrap, unshare and plain fork and exec'
	@echo 'make compare  try what escapes from terrarium and its peers, print the table of README.md (some 8 minutes)'
	@echo 'make install  copy to PREFIX ($(PREFIX))'

# Each line of output is a step, so that a long build shows that it is alive.
build:
	@scripts/setup build
	@echo 'make: building terrarium (release, about a minute the first time)'
	@cargo --config .cargo/static.toml build --release --locked --target $(HOST) --package terrarium
	@cargo build --release --locked --package terrarium-nvml
	@cargo build --release --locked --package terrarium-hook
	@mkdir -p target/release
	@install -m 755 target/$(HOST)/release/terrarium target/release/terrarium

# Beside the first: what answers questions about many jobs.
store:
	@scripts/setup build
	@[ -d '$(ENGINE_CACHE)' ] || echo 'make: building the analytics engine: some 15 minutes on 2 cores, kept in $(ENGINE_CACHE)'
	@echo 'make: building terrarium-store'
	@$(engine_cargo) build --locked --package terrarium-store
	@# Of other checkouts, and of earlier commits: each has its own.
	@find '$(ENGINE_CACHE)/debug/deps' -maxdepth 1 -name '*terrarium*' -mtime +2 -delete
	@mkdir -p target/release
	@install -m 755 '$(ENGINE_CACHE)/debug/terrarium-store' target/release/terrarium-store

demo:
	@scripts/setup demo
	@$(MAKE) --no-print-directory build store
	@demo/demo

test:
	@scripts/setup test
	@$(MAKE) --no-print-directory build store
	@tests/programs/build target/test-programs
	@tests/mpi/build target/test-programs
	@echo 'make: unit tests, command line, and the kernel of this machine'
	@cargo test --locked --workspace --quiet -- --test-threads=2
	@echo 'make: the tables and their reports'
	@$(engine_cargo) test --locked --quiet -- --test-threads=2
	@tests/python/store-readers target/release/terrarium
	@tests/python/import_kills.py --kills 8 --runs 2500 --directory "$$(mktemp -d)"
	@tests/python/exactly_once.py --kills 15 --writers 10 --directory "$$(mktemp -d)"
	@echo 'make: the same kernel tests on cgroup v2, in a virtual machine'
	@scripts/test-v2

# What CI runs beside the tests.
check:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
	cd engine && cargo fmt --check
	$(engine_cargo) clippy --locked --all-targets --quiet -- -D warnings
	cargo xtask tidy

bench: build
	@scripts/setup test
	@cargo xtask bench

compare: build
	@scripts/setup compare
	@cargo xtask compare

# The hook takes its place by a name: to write into it would crash the processes that it is loaded into.
install: build store
	install -D -m 755 target/release/terrarium $(DESTDIR)$(PREFIX)/bin/terrarium
	install -D -m 755 target/release/terrarium-nvml $(DESTDIR)$(PREFIX)/libexec/terrarium/terrarium-nvml
	install -D -m 755 target/release/terrarium-store $(DESTDIR)$(PREFIX)/libexec/terrarium/terrarium-store
	install -d $(DESTDIR)$(PREFIX)/lib/terrarium
	install -m 755 target/release/libterrarium_hook.so $(DESTDIR)$(PREFIX)/lib/terrarium/.libterrarium_hook.so.new
	mv -f $(DESTDIR)$(PREFIX)/lib/terrarium/.libterrarium_hook.so.new $(DESTDIR)$(PREFIX)/lib/terrarium/libterrarium_hook.so
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 share/man/man1/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -D -m 644 share/completions/terrarium.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/terrarium
	install -D -m 644 share/completions/terrarium.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_terrarium
	install -D -m 644 share/completions/terrarium.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/terrarium.fish

clean:
	cargo clean
