# Everything a person types. Each target installs what it needs on a Debian or Mint.

CARGO ?= cargo
# The laboratory and the packages of a system need root; the build does not.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo "sudo --preserve-env=PATH,HOME,CARGO_HOME,RUSTUP_HOME,CARGO_TARGET_DIR,TUNWARDEN_CHAOS_SEED")

.PHONY: help demo check test test-all desktops kernels kernel-short chaos fuzz bench screenshots style lint advisories cargo-deny deps deb repo source cargo-deb install uninstall install-settings uninstall-settings

help:
	@echo "make demo    the main job in a private laboratory, told in plain words"
	@echo "make check   formatting, clippy, and the tests that need no root"
	@echo "make test    every test"
	@echo "make test-all  the same, and whole machines of later releases of Debian"
	@echo "make desktops  the indicator and the notifications in Cinnamon, MATE and Xfce"
	@echo "make kernels  the tests that depend on the kernel, on the kernels of Debian 12, 13 and forky: KERNELS=bookworm TESTS="
	@echo "make kernel-short  one short story on the kernel of Debian 12"
	@echo "make chaos   random sequences for an hour: TUNWARDEN_CHAOS_SECONDS=3600 TUNWARDEN_CHAOS_SEED="
	@echo "make fuzz    every parser for TIME seconds each: TIME=600 TARGETS="
	@echo "make bench   the benchmarks, as ratios"
	@echo "make screenshots    make the pictures in docs/ again"
	@echo "make lint    formatting, clippy, words, shell, licences of the dependencies"
	@echo "make advisories    known vulnerabilities of the dependencies, from the internet"
	@echo "make deb     the Debian packages, in target/debian"
	@echo "make repo    a signed apt repository, in target/repo: KEY=FILE-OR-FINGERPRINT ARCHES=\"amd64 arm64\" DEBS="
	@echo "make source  the Debian source package, in target/source: BUILD=yes"
	@echo "make install / uninstall    as root, after: cargo build --release"
	@echo "make install-settings / uninstall-settings    the window of settings, as root"

deps:
	scripts/deps test $(SUDO)

# Later releases of Docker than this system's, whole machines, and a systemd-resolved that is not installed,
# in trees of their own (TUNWARDEN_LAB_CACHE).
TREES := tree-docker-trixie tree-docker-forky tree-machine-bookworm tree-machine-trixie
.PHONY: trees resolved $(TREES)

trees: resolved $(TREES)

resolved: deps
	scripts/resolved $(SUDO)

$(TREES): tree-%: deps
	scripts/tree $(subst -, ,$*) $(SUDO)

demo:
	scripts/deps demo $(SUDO)
	$(CARGO) build --release --bin tunwarden
	$(CARGO) build --release --example demo
	$(SUDO) target/release/examples/demo

# What needs neither root nor a laboratory.
check:
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) test --workspace --lib --bins --test plain

# The programs of the tests, and what clippy says of them, which the tests of style report. Cargo takes as many
# processors as there are, and no place of make.
# Without a linker the compiler waits for the packages.
.PHONY: built built-fuzz
built built-fuzz: export MAKEFLAGS =
built: $(if $(shell command -v cc),,deps)
	$(CARGO) test --workspace --no-run
	-$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings 2>/dev/null

# The fuzz group reports what does not compile. libFuzzer needs a compiler for C++.
built-fuzz: deps
	-scripts/fuzz build

# One seed, so that the same tree makes the same choices; make chaos takes another each time. The packages and the
# trees wait for a mirror while the compiler works.
test: export TUNWARDEN_CHAOS_SEED ?= 7
test:
	$(MAKE) --no-print-directory --jobs=8 deps built built-fuzz cargo-deb trees
	SUDO="$(SUDO)" CARGO="$(CARGO)" scripts/test

# Whole machines of every release besides.
test-all: test
	scripts/tree machine forky $(SUDO)
	$(SUDO) $(CARGO) test --test machine -- --ignored --test-threads=1

# Cinnamon and MATE have 450 MB of packages, so make test runs none of these. The panel of Xfce shows no indicator without
# some of these packages: which ones is not known.
desktops: deps
	scripts/deps desktops $(SUDO)
	$(CARGO) test --test network --no-run
	$(SUDO) $(CARGO) test --test network -- --include-ignored --test-threads=2 desktops::

# The tests that depend on the kernel, on other kernels than this machine's, in QEMU: hours. TESTS names a few.
KERNELS ?= bookworm trixie forky
kernels: export TESTS ?=
kernels: deps $(KERNELS:%=kernel-%)
	$(CARGO) test --workspace --no-run
	SUDO="$(SUDO)" CARGO="$(CARGO)" scripts/kernels $(KERNELS)

# One short story on the kernel of Debian 12: a lock, flushes and kill -9.
kernel-short: kernel-bookworm
	$(CARGO) build --bin tunwarden
	$(SUDO) env KERNEL_MEMORY=1000 scripts/kernel run bookworm scripts/kernel-short target/debug/tunwarden

.PHONY: kernel-bookworm kernel-trixie kernel-forky
kernel-bookworm kernel-trixie kernel-forky: kernel-%: deps
	scripts/deps kernels $(SUDO)
	scripts/kernel make $* $(SUDO)

# An hour of random sequences, with real containers. A seed makes the same choices again.
chaos: export TUNWARDEN_CHAOS_SECONDS ?= 3600
chaos: deps
	$(CARGO) test --test chaos --no-run
	$(SUDO) $(if $(TUNWARDEN_CHAOS_SEED),env TUNWARDEN_CHAOS_SEED=$(TUNWARDEN_CHAOS_SEED)) \
		env TUNWARDEN_CHAOS_SECONDS=$(TUNWARDEN_CHAOS_SECONDS) $(CARGO) test --test chaos -- --nocapture

# The parsers of foreign bytes, TIME seconds each.
fuzz: TIME ?= 600
fuzz: deps
	scripts/fuzz $(TIME) $(TARGETS)

# The pictures in docs/.
screenshots: deps
	scripts/deps desktops $(SUDO)
	$(CARGO) build --bin tunwarden --example screenshots
	$(SUDO) target/debug/examples/screenshots

bench: deps
	$(CARGO) build --release --benches --bin tunwarden
	$(SUDO) $(CARGO) bench --no-fail-fast

# Formatting, clippy, words that are hard to understand, shell: what make test runs too.
style:
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	scripts/words
	shellcheck hooks/openvpn-up hooks/dispatcher src/cli/prove/live/containers.sh scripts/deps scripts/tree scripts/resolved scripts/test scripts/kernel scripts/kernels scripts/kernel-short scripts/kernel-ipv6 scripts/fuzz scripts/words scripts/repo scripts/source scripts/version scripts/settings-deb packaging/debian/p*

lint: style cargo-deny
	$(CARGO) deny check bans licenses sources

# Known vulnerabilities of the dependencies; the list is on the internet.
advisories: cargo-deny
	$(CARGO) deny check advisories

cargo-deny:
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny

# The Debian packages, in target/debian.
deb: cargo-deb
	$(CARGO) deb --deb-version "$$(scripts/version)"
	scripts/settings-deb "$$(scripts/version)" "$${CARGO_TARGET_DIR:-target}/debian"

# A signed apt repository in target/repo, with packages for ARCHES (amd64 arm64) that are built in a Debian 12. KEY is a
# file with a secret key, or a fingerprint in your keyring. DEBS are packages that exist already.
repo: cargo-deb
	scripts/deps repo $(SUDO)
	SUDO="$(SUDO)" CARGO="$(CARGO)" scripts/repo $(if $(KEY),--key "$(KEY)") $(DEBS)

# The Debian source package, in target/source; BUILD=yes also builds the package from it, in a Debian 12 without a network.
source:
	scripts/deps repo $(SUDO)
	SUDO="$(SUDO)" CARGO="$(CARGO)" scripts/source $(if $(BUILD),--build)

# This version makes the same package of the same files; another may not.
cargo-deb:
	command -v cargo-deb >/dev/null || $(CARGO) install --locked --version 3.8.0 cargo-deb

DESTDIR ?=
BINARY ?= target/release/tunwarden
PREFIX ?= /usr
DOC = $(DESTDIR)$(PREFIX)/share/doc/tunwarden
UNITS = tunwarden-lock.service tunwarden.service
APP = org.tunwarden.tunwarden

# The same files as the package has: what is added here goes into Cargo.toml too.
install:
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/tunwarden
	install -D -m 755 hooks/openvpn-up $(DESTDIR)$(PREFIX)/lib/tunwarden/openvpn-up
	install -D -m 755 hooks/openvpn-down $(DESTDIR)$(PREFIX)/lib/tunwarden/openvpn-down
	install -D -m 755 hooks/dispatcher $(DESTDIR)$(PREFIX)/lib/NetworkManager/dispatcher.d/90-tunwarden
	install -D -m 644 dbus/org.tunwarden.Agent1.conf $(DESTDIR)$(PREFIX)/share/dbus-1/system.d/org.tunwarden.Agent1.conf
	install -D -m 644 dbus/org.tunwarden.agent1.policy $(DESTDIR)$(PREFIX)/share/polkit-1/actions/org.tunwarden.agent1.policy
	install -D -m 644 desktop/tunwarden-notify.desktop $(DESTDIR)/etc/xdg/autostart/tunwarden-notify.desktop
	install -D -m 644 desktop/$(APP).desktop $(DESTDIR)$(PREFIX)/share/applications/$(APP).desktop
	install -D -m 644 desktop/$(APP).metainfo.xml $(DESTDIR)$(PREFIX)/share/metainfo/$(APP).metainfo.xml
	for folder in scalable/apps scalable/status symbolic/status; do \
		install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/icons/hicolor/$$folder desktop/icons/hicolor/$$folder/*.svg || exit 1; \
	done
	test -n "$(DESTDIR)" || ! command -v gtk-update-icon-cache >/dev/null || gtk-update-icon-cache -q -t -f $(PREFIX)/share/icons/hicolor
	install -D -m 644 systemd/tunwarden-lock.service $(DESTDIR)$(PREFIX)/lib/systemd/system/tunwarden-lock.service
	install -D -m 644 systemd/tunwarden.service $(DESTDIR)$(PREFIX)/lib/systemd/system/tunwarden.service
	install -D -m 644 systemd/tunwarden-hosts.socket $(DESTDIR)$(PREFIX)/lib/systemd/system/tunwarden-hosts.socket
	install -D -m 644 systemd/tunwarden-hosts@.service $(DESTDIR)$(PREFIX)/lib/systemd/system/tunwarden-hosts@.service
	install -D -m 644 systemd/tunwarden.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/tunwarden.conf
	for section in 1 5 8; do \
		install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man$$section packaging/man/*.$$section && \
		gzip -9nf $(DESTDIR)$(PREFIX)/share/man/man$$section/tunwarden*.$$section || exit 1; \
	done
	install -D -m 644 packaging/completions/tunwarden.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/tunwarden
	install -D -m 644 packaging/completions/_tunwarden $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_tunwarden
	install -D -m 644 packaging/completions/tunwarden.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/tunwarden.fish
	install -D -m 644 -t $(DOC) README.md docs/*.md docs/*.json
	install -D -m 644 CHANGELOG.md $(DOC)/changelog
	gzip -9nf $(DOC)/changelog
	install -D -m 644 -t $(DOC)/examples examples/*.toml
	test -e $(DESTDIR)/etc/tunwarden/config.toml || install -D -m 644 examples/config.toml $(DESTDIR)/etc/tunwarden/config.toml
	test -n "$(DESTDIR)" || systemd-tmpfiles --create tunwarden.conf
	test -n "$(DESTDIR)" || ! test -d /run/systemd/system || systemctl daemon-reload
	test -n "$(DESTDIR)" || ! test -d /run/systemd/system || busctl call org.freedesktop.DBus / org.freedesktop.DBus ReloadConfig || true

# The configuration and what was learned stay. A lock left active would keep the next one from closing at once.
uninstall:
	test -n "$(DESTDIR)" || ! test -d /run/systemd/system || systemctl disable $(UNITS)
	test -n "$(DESTDIR)" || ! test -x $(PREFIX)/bin/tunwarden || $(PREFIX)/bin/tunwarden release --yes
	rm -f $(DESTDIR)$(PREFIX)/bin/tunwarden
	rm -rf $(DESTDIR)$(PREFIX)/lib/tunwarden $(DOC)
	rm -f $(DESTDIR)$(PREFIX)/lib/NetworkManager/dispatcher.d/90-tunwarden
	rm -f $(DESTDIR)$(PREFIX)/share/dbus-1/system.d/org.tunwarden.Agent1.conf
	rm -f $(DESTDIR)$(PREFIX)/share/polkit-1/actions/org.tunwarden.agent1.policy
	rm -f $(DESTDIR)/etc/xdg/autostart/tunwarden-notify.desktop
	rm -f $(DESTDIR)$(PREFIX)/share/applications/$(APP).desktop $(DESTDIR)$(PREFIX)/share/metainfo/$(APP).metainfo.xml
	rm -f $(DESTDIR)$(PREFIX)/share/icons/hicolor/scalable/apps/$(APP).svg
	rm -f $(DESTDIR)$(PREFIX)/share/man/man[158]/tunwarden.*.gz $(DESTDIR)$(PREFIX)/share/man/man[158]/tunwarden-*.gz
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/tunwarden
	rm -f $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_tunwarden
	rm -f $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/tunwarden.fish
	rm -f $(DESTDIR)$(PREFIX)/share/icons/hicolor/scalable/status/tunwarden-*.svg
	rm -f $(DESTDIR)$(PREFIX)/share/icons/hicolor/symbolic/status/tunwarden-*.svg
	test -n "$(DESTDIR)" || ! command -v gtk-update-icon-cache >/dev/null || gtk-update-icon-cache -q -t -f $(PREFIX)/share/icons/hicolor
	test -n "$(DESTDIR)" || ! test -d /run/systemd/system || systemctl stop tunwarden-hosts.socket 2>/dev/null || true
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/lib/systemd/system/,$(UNITS) tunwarden-hosts.socket tunwarden-hosts@.service)
	rm -f $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/tunwarden.conf
	test -n "$(DESTDIR)" || ! test -d /run/systemd/system || systemctl daemon-reload
	test -n "$(DESTDIR)" || ! test -d /run/systemd/system || systemctl stop tunwarden-lock.service 2>/dev/null || true
	test -n "$(DESTDIR)" || rm -rf /run/tunwarden

SETTINGS = org.tunwarden.settings

# The files of the package tunwarden-settings: the window, which needs python3-gi and GTK 3.
install-settings:
	install -D -m 755 desktop/settings/tunwarden-settings $(DESTDIR)$(PREFIX)/bin/tunwarden-settings
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/tunwarden-settings desktop/settings/*.py desktop/settings/texts.json
	install -D -m 644 desktop/$(SETTINGS).desktop $(DESTDIR)$(PREFIX)/share/applications/$(SETTINGS).desktop
	install -D -m 644 desktop/settings/tunwarden-settings.1 $(DESTDIR)$(PREFIX)/share/man/man1/tunwarden-settings.1
	gzip -9nf $(DESTDIR)$(PREFIX)/share/man/man1/tunwarden-settings.1

uninstall-settings:
	rm -f $(DESTDIR)$(PREFIX)/bin/tunwarden-settings $(DESTDIR)$(PREFIX)/share/applications/$(SETTINGS).desktop
	rm -f $(DESTDIR)$(PREFIX)/share/man/man1/tunwarden-settings.1.gz
	rm -rf $(DESTDIR)$(PREFIX)/share/tunwarden-settings
