# Every target sets up what it needs first; `make help` lists them.

SHELL := /bin/sh
export PATH := $(CURDIR)/target/tools/bin:$(HOME)/.cargo/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin

binary := target/release/transhume

.DEFAULT_GOAL := help
.PHONY: help setup guest build demo compare test bench lint fmt lab-up lab-down clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing (root or sudo for packages only)
	@scripts/setup.sh

guest: setup ## make the test guest: target/guest/vmlinux and initramfs.cpio
	@scripts/guest.sh

build: setup ## build target/release/transhume
	@echo "==> building $(binary)" >&2
	@cargo build --locked --release --package transhume

demo: guest build ## the main job: a cluster of four VMs moves live to another site and back; report in target/demo
	@mkdir -p target/demo
	@$(binary) lab demo --report target/demo/report.json

test: ## formatting, lints, licences and every test
	@scripts/setup.sh --test
	@scripts/guest.sh
	@scripts/test.sh

compare: guest build ## the same cluster, load and WAN moved by us and by virsh migrate; report in target/compare
	@mkdir -p target/compare
	@$(binary) lab compare --report target/compare/report.json

bench: guest build ## measure every figure we promise, beside its target
	@missed=0; \
	$(binary) lab bench || missed=1; \
	echo "==> flow installation against ovs-ofctl" >&2; \
	cargo bench --locked --quiet --package openflow --bench flows || missed=1; \
	echo "==> the journal" >&2; \
	cargo bench --locked --quiet --package controller --bench journal || missed=1; \
	echo "==> the tunnel router, beside a bare veth and kernel VXLAN" >&2; \
	cargo bench --locked --quiet --package xtr --bench throughput || missed=1; \
	echo "==> WireGuard, beside wireguard-go, boringtun and a bare veth" >&2; \
	cargo bench --locked --quiet --package wireguard --bench throughput || missed=1; \
	echo "==> the Map-Server" >&2; \
	cargo bench --locked --quiet --package mapping --bench server || missed=1; \
	echo "==> a move with 10,000 subscribers" >&2; \
	cargo bench --locked --quiet --package controller --bench subscribers || missed=1; \
	exit $$missed

lint: ## clippy with warnings as errors, formatting, cargo deny
	@scripts/setup.sh --test
	@cargo fmt --all --check
	@cargo clippy --workspace --features transhume/libvirt --all-targets --locked -- -D warnings
	@cargo clippy --package agent --package transhume --all-targets --locked -- -D warnings
	@cargo deny check licenses bans sources

fmt: ## format the code
	@cargo fmt --all

lab-up: guest build ## start the lab and leave it standing
	@$(binary) lab up

lab-down: ## remove the lab, also after an interrupted lab-up
	@if [ -x $(binary) ]; then $(binary) lab down; else echo "no $(binary), so no lab of this folder; make build first" >&2; fi

clean: ## remove everything built; take the lab down first
	@rm -rf target
