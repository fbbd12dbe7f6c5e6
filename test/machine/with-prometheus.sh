#!/bin/sh
# Runs once inside a copy of a root file system, as root, with the network and the apt
# configuration of the host: Prometheus, which a test starts by itself. Part of the recipe.
set -eu

apt-get -q -o APT::Sandbox::User=root update
apt-get -q -y -o APT::Sandbox::User=root install --no-install-recommends prometheus
systemctl disable prometheus.service
apt-get clean
rm -rf /var/lib/apt/lists/*
