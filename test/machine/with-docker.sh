#!/bin/sh
# Runs once inside a copy of a root file system, as root, with the network and the apt
# configuration of the host: Docker with BuildKit as Debian has them, which run when they
# are started. Part of the recipe.
set -eu

apt-get -q -o APT::Sandbox::User=root update
apt-get -q -y -o APT::Sandbox::User=root install --no-install-recommends docker.io docker-cli docker-buildx iptables
systemctl disable docker.service docker.socket containerd.service
apt-get clean
rm -rf /var/lib/apt/lists/*
