# Everything a person types. Each target installs what it needs on a Debian or Mint.

CARGO ?= cargo
# The laboratory and the packages of a system need root; the build does not.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo "sudo --preserve-env=PATH,HOME,CARGO_HOME,RUSTUP_HOME,CARGO_TARGET_DIR")

.PHONY: help demo test test-all bench lint deps

help:
	@echo "make demo    the main job in a private laboratory, told in plain words"
	@echo "make test    every test"
	@echo "make bench   the benchmarks, as ratios"
	@echo "make lint    formatting, clippy, dependencies, shell"

deps:
	@scripts/deps $(SUDO)

demo: deps
	$(CARGO) build --release --bin tunwarden
	$(CARGO) build --release --example demo
	$(SUDO) target/release/examples/demo

test: deps lint
	$(CARGO) test --no-run
	$(SUDO) $(CARGO) test -- --test-threads=2

bench: deps
	$(CARGO) build --release --benches --bin tunwarden
	$(SUDO) $(CARGO) bench

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	shellcheck hooks/openvpn-up hooks/dispatcher scripts/deps
