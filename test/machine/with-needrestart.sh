#!/bin/sh
# Runs once inside a copy of a root file system, as root, with the network and the apt
# configuration of the host: needrestart, which restarts services after each of apt's runs,
# without a question. Part of the recipe.
set -eu

apt-get -q -o APT::Sandbox::User=root update
apt-get -q -y -o APT::Sandbox::User=root install --no-install-recommends needrestart
# shellcheck disable=SC2016 # the variable is of Perl's
echo '$nrconf{restart} = "a";' >/etc/needrestart/conf.d/test.conf
apt-get clean
rm -rf /var/lib/apt/lists/*
