#!/bin/sh
# Runs once inside a copy of a root file system, as root, with the network and the apt
# configuration of the host: bats, and what podman's and buildah's own tests call besides
# them. Part of the recipe.
set -eu

apt-get -q -o APT::Sandbox::User=root update
apt-get -q -y -o APT::Sandbox::User=root install --no-install-recommends bats file git jq openssl skopeo socat
apt-get clean
rm -rf /var/lib/apt/lists/*
