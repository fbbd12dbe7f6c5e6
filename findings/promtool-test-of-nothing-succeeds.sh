#!/bin/bash
# Debian trixie: prometheus 2.53.3+ds1-2 (promtool)
#
# `promtool test rules` says SUCCESS, and exits with 0, of a test that expects no alert of a name that no rule has; of one
# whose rule_files name a file that does not exist (a warning, as for a pattern that matches nothing); and of a file without
# tests. So a test that an alert does not fire before its time goes on passing when the alert, or its file, is renamed.
#
# One would have guessed an error for a name that is nowhere, as from `promtool check rules` and from Prometheus itself for a file
# that is not there.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
unpack trixie prometheus=2.53.3+ds1-2
promtool() { "$root/usr/bin/promtool" "$@"; }
cd "$work"
cat >rules.yml <<'YAML'
groups:
- name: findings
  rules:
  - alert: Down
    expr: up == 0
    for: 5m
YAML
outcome() { # outcome ALERT RULES [TESTS]: of the test that the alert does not fire, while the rule fires after 5 minutes
	local status=0
	cat >test.yml <<-YAML
		rule_files: [$2]
		tests:
		- interval: 1m
		  input_series: [{series: up, values: 0x20}]
		  alert_rule_test: [{alertname: $1, eval_time: 10m, exp_alerts: []}]
	YAML
	[ $# = 2 ] || printf 'rule_files: [%s]\n%s\n' "$2" "$3" >test.yml
	promtool test rules test.yml >out 2>&1 || status=$?
	echo "$(grep -oE 'SUCCESS|FAILED' out) $status"
}
claim "the alert fires" "FAILED 1" "$(outcome Down rules.yml)"
claim "its name is misspelled" "SUCCESS 0" "$(outcome Dwon rules.yml)"
claim "the file's name is misspelled" "SUCCESS 0" "$(outcome Down rulse.yml)"
claim "no tests" "SUCCESS 0" "$(outcome Down rules.yml 'tests: []')"
claim "promtool check rules of that file" 1 "$(promtool check rules rulse.yml >out 2>&1 && echo 0 || echo $?)"
