# Bulkhead's commands. "make help" lists them; everything they need and miss, they install (as root).
PREFIX ?= /usr
DESTDIR ?=
SYSCONFDIR ?= /etc
SWIFT ?= swift
STRIP ?= strip --remove-section=.comment
# SwiftPM's folder; another one lets several builds of one tree live side by side.
SCRATCH ?= .build
BUILD_DIR ?= $(SCRATCH)/release

LIBDIR = $(DESTDIR)$(PREFIX)/lib/bulkhead
DRIVERKIT_MODULES = CBulkhead Platform Protocol Virtqueue DriverKit
LIBEXEC_PROGRAMS = bulkhead-broker bulkhead-broker-emulated bulkhead-jail

.DEFAULT_GOAL := help
.PHONY: help demo shell test test-all bench campaign fuzz lint docs build fixed-places install install-dev install-test deb tree image packages clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## install what is missing, build, boot the lab and show the main job
	@lab/prepare
	@lab/run --deadline 420 lab/demo.sh

shell: ## a shell inside the lab, with everything installed (Ctrl-A X ends it)
	@lab/prepare
	@lab/shell

test: ## all unit tests, real clients natively, the lab scenarios but for what takes longest
	@lab/test

test-all: ## the same, with all of the lab scenarios at full length
	@LAB_EFFORT=full lab/test

bench: ## the benchmark (WORK=block or net; more: lab/bench --help)
	@lab/bench $(WORK)

campaign: ## kills and stops drivers under load (WHERE=native|lab SEED= KILLS= STOPS=)
	@lab/campaign

fuzz: ## the TAP worker under a hostile driver, with a sanitizer (ROUNDS= SEED=)
	@lab/fuzz $(or $(ROUNDS),10000000) $(or $(SEED),1)

lint: ## formatting, shell scripts, warnings
	@lab/lint

docs: packages ## the pages of docs/ that programs print
	$(SWIFT) build --scratch-path $(SCRATCH)
	@lab/generated-pages

build: packages ## the release build
	$(SWIFT) build --scratch-path $(SCRATCH) -c release --static-swift-stdlib

# Units, rules and programs name their files as they are there.
fixed-places:
	$(if $(filter-out /usr,$(PREFIX)),$(error PREFIX is /usr, and not $(PREFIX): the units name /usr/sbin/bulkheadd. DESTDIR is for another root))
	$(if $(filter-out /etc,$(SYSCONFDIR)),$(error SYSCONFDIR is /etc, and not $(SYSCONFDIR): the units name /etc/bulkhead. DESTDIR is for another root))

install: fixed-places ## what BUILD_DIR holds, to /usr and /etc below DESTDIR
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(LIBDIR)/drivers $(DESTDIR)$(SYSCONFDIR)/bulkhead
	install -m 755 $(BUILD_DIR)/bulkheadd $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 $(BUILD_DIR)/bulkheadctl $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(LIBEXEC_PROGRAMS:%=$(BUILD_DIR)/%) $(LIBDIR)/
	$(STRIP) $(DESTDIR)$(PREFIX)/sbin/bulkheadd $(DESTDIR)$(PREFIX)/bin/bulkheadctl $(LIBEXEC_PROGRAMS:%=$(LIBDIR)/%)
	@$(MAKE) --no-print-directory install-driver-nvme install-driver-e1000e install-driver-virtio-net
	@lab/install-files '$(DESTDIR)' '$(PREFIX)' '$(SYSCONFDIR)' '$(BUILD_DIR)'

install-dev: ## the driver kit and its example, for drivers outside of this tree
	install -d $(DESTDIR)$(PREFIX)/share/bulkhead/driverkit/Sources
	cp -r packaging/dev/examples $(DESTDIR)$(PREFIX)/share/bulkhead/
	cp packaging/dev/driverkit/Package.swift $(DESTDIR)$(PREFIX)/share/bulkhead/driverkit/
	cp -r $(DRIVERKIT_MODULES:%=Sources/%) $(DESTDIR)$(PREFIX)/share/bulkhead/driverkit/Sources/

install-test: install-driver-hostile install-driver-hostile-network ## what only tests use
	install -m 755 $(BUILD_DIR)/nbd-campaign $(BUILD_DIR)/vhost-probe $(LIBDIR)/
	$(STRIP) $(LIBDIR)/nbd-campaign $(LIBDIR)/vhost-probe

install-driver-%:
	install -d $(LIBDIR)/drivers
	install -m 755 $(BUILD_DIR)/udriver-$* $(LIBDIR)/drivers/
	$(STRIP) $(LIBDIR)/drivers/udriver-$*
	install -m 644 udrivers/$*/$*.toml $(LIBDIR)/drivers/

tree: packages ## the release build, installed in .lab/tree for the lab
	@SCRATCH=$(SCRATCH) lab/build-tree

deb: build ## the Debian packages, in .lab/deb, checked with lintian
	@BUILD_DIR=$(BUILD_DIR) lab/deb

image: packages ## the lab's root image, kernel and QEMU
	@lab/image >/dev/null
	@lab/kernel >/dev/null
	@lab/qemu >/dev/null

packages: ## the Debian packages that are missing
	@lab/ensure-packages

clean: ## removes the build and the lab's runs
	rm -rf .build .lab/runs .lab/tree

distclean: clean ## and the lab's images and downloads
	rm -rf .lab
