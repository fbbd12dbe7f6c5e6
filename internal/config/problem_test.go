package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// problemsOf loads a main file and returns what is wrong, without the path.
func problemsOf(t *testing.T, content string) []string {
	t.Helper()
	root := tree(t, map[string]string{MainFile: content})
	c, err := Load(root)
	if err == nil {
		return nil
	}
	if c != nil {
		t.Error("a configuration comes with the error")
	}
	return strings.Split(strings.ReplaceAll(err.Error(), root+MainFile, "F"), "\n")
}

func TestBadFilesAreRefusedWithLineKeyAndReason(t *testing.T) {
	const duration = `: must be a duration in quotes, such as "1s", not `
	for name, test := range map[string]struct{ content, want string }{
		"unknown key":           {"[ladder]\nspeed = 1", "F:2: ladder.speed: unknown key"},
		"mistyped key":          {"[ladder]\n\nkil_timeout = \"1s\"", "F:3: ladder.kil_timeout: unknown key, did you mean ladder.kill_timeout?"},
		"mistyped section":      {"[lader]\nkill_timeout = \"1s\"", "F:1: lader: unknown section, did you mean ladder?"},
		"wrong section":         {"[ladder]\nlisten = \"\"", "F:2: ladder.listen: unknown key, did you mean metrics.listen?"},
		"no section":            {"level = \"info\"", "F:1: level: unknown key, did you mean log.level?"},
		"unknown section":       {"[nonsense]\nx = 1\ny = 2", "F:1: nonsense: unknown section"},
		"runtime too short":     {"[policy]\nmax_runtime = \"999ms\"", `F:2: policy.max_runtime: "999ms" is out of bounds: 1s to 720h, or "0s" for none`},
		"runtime too long":      {"[policy]\nmax_runtime = \"721h\"", `F:2: policy.max_runtime: "721h" is out of bounds: 1s to 720h, or "0s" for none`},
		"runtime negative":      {"[policy]\nmax_runtime = \"-1s\"", `F:2: policy.max_runtime: "-1s" is out of bounds: 1s to 720h, or "0s" for none`},
		"runtime bare number":   {"[policy]\nmax_runtime = 0", `F:2: policy.max_runtime: must be a duration in quotes, such as "720h", not an integer`},
		"policy of nobody":      {"[policy]\nabandoned = \"kill\"", `F:2: policy.abandoned: "kill" is not one of end, report`},
		"nested section":        {"[log.level]\nx = 1", "F:1: log.level: unknown section"},
		"list of sections":      {"[[log]]\nlevel = \"info\"", "F:1: log: must be a section, [log], not a list"},
		"section as value":      {"log = \"info\"", "F:1: log: is a section, [log], not a key"},
		"inline unknown":        {"log = { levle = \"info\" }", "F:1: log.levle: unknown key, did you mean log.level?"},
		"odd key":               {"\"a\\nb\" = 1", `F:1: "a\nb": unknown key`},
		"level":                 {"[log]\nlevel = \"verbose\"", `F:2: log.level: "verbose" is not one of error, warning, info, debug`},
		"level in capitals":     {"[log]\nlevel = \"INFO\"", `F:2: log.level: "INFO" is not one of error, warning, info, debug`},
		"level of wrong type":   {"[log]\nlevel = true", "F:2: log.level: must be a string, not true or false"},
		"duration bare number":  {"[ladder]\nkill_timeout = 5", "F:2: ladder.kill_timeout" + duration + "an integer"},
		"duration fraction":     {"[ladder]\nkill_timeout = 0.5", "F:2: ladder.kill_timeout" + duration + "a number with a fraction"},
		"duration list":         {"[ladder]\nkill_timeout = [\"1s\"]", "F:2: ladder.kill_timeout" + duration + "a list of strings"},
		"duration table":        {"[ladder]\nkill_timeout = {}", "F:2: ladder.kill_timeout" + duration + "a table"},
		"duration date":         {"[ladder]\nkill_timeout = 2025-01-01", "F:2: ladder.kill_timeout" + duration + "a date or time"},
		"duration without unit": {"[ladder]\nkill_timeout = \"5\"", `F:2: ladder.kill_timeout: "5" is not a duration such as "1s"`},
		"duration too short":    {"[ladder]\nkill_timeout = \"9ms\"", `F:2: ladder.kill_timeout: "9ms" is out of bounds: 10ms to 10m`},
		"duration too long":     {"[ladder]\nkill_timeout = \"601s\"", `F:2: ladder.kill_timeout: "601s" is out of bounds: 10ms to 10m`},
		"duration negative":     {"[ladder]\nkill_timeout = \"-1s\"", `F:2: ladder.kill_timeout: "-1s" is out of bounds: 10ms to 10m`},
		"integer too small":     {"[limits]\nconnections_per_user = 0", "F:2: limits.connections_per_user: 0 is out of bounds: 1 to 4096"},
		"integer too large":     {"[limits]\nconnections_per_user = 4097", "F:2: limits.connections_per_user: 4097 is out of bounds: 1 to 4096"},
		"integer of 70 bits":    {"[limits]\nconnections_per_user = 1000000000000000000000", "F:2: limits.connections_per_user: 1000000000000000000000 is out of bounds: 1 to 4096"},
		"integer in quotes":     {"[limits]\nconnections_per_user = \"5\"", "F:2: limits.connections_per_user: must be an integer, not a string"},
		"host name":             {"[metrics]\nlisten = \"localhost:1\"", `F:2: metrics.listen: "localhost:1" is not an IP address with a port, such as "127.0.0.1:16786" (names are not looked up)`},
		"all addresses":         {"[metrics]\nlisten = \"0.0.0.0:1\"", `F:2: metrics.listen: "0.0.0.0:1" is not a loopback address (buildwatchd-metrics.socket is for others)`},
		"another host":          {"[metrics]\nlisten = \"[fe80::1]:1\"", `F:2: metrics.listen: "[fe80::1]:1" is not a loopback address (buildwatchd-metrics.socket is for others)`},
		"zone":                  {"[metrics]\nlisten = \"[::1%eth0]:1\"", `F:2: metrics.listen: "[::1%eth0]:1" is not a loopback address (buildwatchd-metrics.socket is for others)`},
		"port 0":                {"[metrics]\nlisten = \"127.0.0.1:0\"", `F:2: metrics.listen: "127.0.0.1:0" has no port`},
		"address list":          {"[metrics]\nlisten = [\"127.0.0.1:1\", \"x\"]", `F:2: metrics.listen: "x" is not an IP address with a port, such as "127.0.0.1:16786" (names are not looked up)`},
		"address twice":         {"[metrics]\nlisten = [\"127.0.0.1:1\", \"[::ffff:127.0.0.1]:1\"]", `F:2: metrics.listen: "[::ffff:127.0.0.1]:1" is there twice`},
		"list of numbers":       {"[metrics]\nlisten = [1]", `F:2: metrics.listen: must be a string or a list of strings, not a list of other things than strings`},
		"too many addresses":    {"[metrics]\nlisten = [" + strings.Repeat("\"127.0.0.1:1\", ", 9) + "]", `F:2: metrics.listen: has more than 8 addresses`},
		"relative path":         {"[metrics]\nweb_config = \"web.yml\"", `F:2: metrics.web_config: "web.yml" is not an absolute path`},
		"control bytes":         {"[log]\nlevel = \"\\u001b[2J\"", `F:2: log.level: "\x1b[2J" is not one of error, warning, info, debug`},
	} {
		t.Run(name, func(t *testing.T) {
			got := problemsOf(t, test.content+"\n")
			if len(got) != 1 || got[0] != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestSyntaxErrorsNameTheirLine(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"no value":       {"[log]\nlevel =\n", "F:2: "},
		"no end":         {"[log]\nlevel = \"info\n", "F:2: "},
		"key set twice":  {"[log]\nlevel = \"info\"\nlevel = \"info\"\n", "F:3: "},
		"section twice":  {"[log]\nlevel = \"info\"\n[log]\n", "F:3: "},
		"not UTF-8":      {"# \xff\n", "F:1: "},
		"not TOML":       {"\x00\x01", "F:1: "},
		"carriage break": {"[log]\rlevel = 1", "F:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			got := problemsOf(t, test.content)
			if len(got) != 1 || !strings.HasPrefix(got[0], test.want) || !strings.Contains(got[0], "syntax error: ") {
				t.Errorf("got %q, want one syntax error at %q", got, test.want)
			}
		})
	}
}

func TestAllProblemsOfAllFilesAreReportedAtOnce(t *testing.T) {
	root := tree(t, map[string]string{
		MainFile:                     "[log]\nlevel = \"loud\"\n[ladder]\nx = 1\nstop_timeout = \"1h\"\n[oops\n",
		AdminDropIns + "/10-a.toml":  "[limits]\nconnections_per_user = 0\n",
		AdminDropIns + "/20-b.toml":  "->/etc/passwd",
		VendorDropIns + "/15-c.toml": "[metrics]\nlisten = \"*:1\"\n",
	})
	_, err := Load(root)
	var problem *Problem
	if !errors.As(err, &problem) || problem.File != root+MainFile || problem.Line != 2 || problem.Key != "log.level" {
		t.Errorf("first problem %+v", problem)
	}
	var got []string
	for line := range strings.Lines(err.Error()) {
		where, _, _ := strings.Cut(strings.TrimPrefix(line, root), ": ")
		got = append(got, where)
	}
	want := []string{
		MainFile + ":2", MainFile + ":4", MainFile + ":5", MainFile + ":6",
		AdminDropIns + "/10-a.toml:2", VendorDropIns + "/15-c.toml:2", AdminDropIns + "/20-b.toml",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestProblemsAreOneLineWithoutControlBytes(t *testing.T) {
	p := &Problem{File: "/etc/a\nb", Line: 1, Key: "k\x1b", Reason: "because\r"}
	if got, want := p.Error(), `"/etc/a\nb":1: "k\x1b": "because\r"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
