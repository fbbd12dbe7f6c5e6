#!/bin/sh
# Runs after vm-setup.sh, for a VM with SELinux in the place of AppArmor: Debian's policy,
# and every file labelled, so that the first boot need not do it.
set -eu

apt-get -q -o APT::Sandbox::User=root update
apt-get -q -y -o APT::Sandbox::User=root install --no-install-recommends selinux-policy-default policycoreutils
# What is forbidden is told, and done all the same: setenforce 1 is for those who try it.
printf 'SELINUX=permissive\nSELINUXTYPE=default\n' >/etc/selinux/config
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin
setfiles -F /etc/selinux/default/contexts/files/file_contexts /
