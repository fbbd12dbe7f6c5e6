package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/buildwatch/buildwatch/api"
)

// tree makes a root directory that holds files, by path. A content that begins
// with "->" makes a symbolic link.
func tree(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for path, content := range files {
		path = filepath.Join(root, path)
		makeDirs(t, filepath.Dir(path))
		if target, ok := strings.CutPrefix(content, "->"); ok {
			must(t, os.Symlink(target, path))
			continue
		}
		must(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return root
}

// makeDirs makes directories as an installation would, whatever the umask is.
func makeDirs(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	makeDirs(t, filepath.Dir(path))
	must(t, os.Mkdir(path, 0o755))
	must(t, os.Chmod(path, 0o755))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, root string) *Config {
	t.Helper()
	c, err := Load(root)
	must(t, err)
	return c
}

func TestWithoutFilesDefaultsAreInForce(t *testing.T) {
	c := load(t, t.TempDir())
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("got %+v, want the defaults", c)
	}
	if got := c.Origin("log.level").String(); got != "default" {
		t.Errorf("origin %q, want default", got)
	}
}

func TestLaterFilesWinKeyByKey(t *testing.T) {
	root := tree(t, map[string]string{
		MainFile:                     "[log]\nlevel = \"debug\"\n[ladder]\nkill_timeout = \"2s\"\nstop_timeout = \"2s\"\n",
		VendorDropIns + "/10-a.toml": "[ladder]\nkill_timeout = \"3s\"\n",
		VendorDropIns + "/30-c.toml": "limits.connections_per_user = 1_0\n",
		AdminDropIns + "/20-b.toml":  "ladder = { kill_timeout = \"4s\" }\n[limits]\nconnections_per_user = 9\n",
	})
	c := load(t, root)
	if c.Log.Level != "debug" || c.Ladder.KillTimeout != 4*time.Second || c.Ladder.StopTimeout != 2*time.Second || c.Limits.ConnectionsPerUser != 10 {
		t.Errorf("got %+v", c)
	}
	for key, want := range map[string]Origin{
		"log.level":                   {root + MainFile, 2},
		"ladder.kill_timeout":         {root + AdminDropIns + "/20-b.toml", 1},
		"limits.connections_per_user": {root + VendorDropIns + "/30-c.toml", 1},
	} {
		if got := c.Origin(key); got != want {
			t.Errorf("origin of %s is %v, want %v", key, got, want)
		}
	}
}

func TestAdminDropInMasksVendorDropInOfTheSameName(t *testing.T) {
	const vendor = "[ladder]\nkill_timeout = \"9s\"\n"
	for name, admin := range map[string]string{
		"other content":      "[log]\nlevel = \"error\"\n",
		"empty":              "",
		"link to /dev/null":  "->/dev/null",
		"untidy link to it":  "->/dev//null",
		"comments and blank": "# nothing\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := load(t, tree(t, map[string]string{
				VendorDropIns + "/50-x.toml": vendor,
				AdminDropIns + "/50-x.toml":  admin,
			}))
			if c.Ladder.KillTimeout != time.Second {
				t.Errorf("kill_timeout %v: the vendor's file was read", c.Ladder.KillTimeout)
			}
		})
	}
}

// TestRuntimeDropInHoldsUntilTheNextBoot: it masks the vendor's, and is masked by the
// administrator's.
func TestRuntimeDropInHoldsUntilTheNextBoot(t *testing.T) {
	level := func(level string) string { return "[log]\nlevel = \"" + level + "\"\n" }
	files := map[string]string{VendorDropIns + "/50-x.toml": "not TOML", RuntimeDropIns + "/50-x.toml": level("debug")}
	if c := load(t, tree(t, files)); c.Log.Level != "debug" {
		t.Errorf("the level is %s", c.Log.Level)
	}
	files[RuntimeDropIns+"/50-x.toml"] = "not TOML"
	files[AdminDropIns+"/50-x.toml"] = level("error")
	if c := load(t, tree(t, files)); c.Log.Level != "error" {
		t.Errorf("the level is %s", c.Log.Level)
	}
}

func TestOtherFilesInADropInDirectoryAreLeftAlone(t *testing.T) {
	c := load(t, tree(t, map[string]string{
		AdminDropIns + "/README":         "not TOML",
		AdminDropIns + "/.#10-x.toml":    "->editor@host.1",
		AdminDropIns + "/10-x.toml~":     "not TOML",
		AdminDropIns + "/10-x.toml.save": "not TOML",
	}))
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("got %+v, want the defaults", c)
	}
}

func TestMetricsCanBeSwitchedOff(t *testing.T) {
	for _, none := range []string{`""`, "[]", "[ # none\n]"} {
		c := load(t, tree(t, map[string]string{MainFile: "[metrics]\nlisten = " + none + "\n"}))
		if len(c.Metrics.Listen) != 0 {
			t.Errorf("%s listens on %v", none, c.Metrics.Listen)
		}
	}
}

func TestMetricsAddressMayBeIPv6(t *testing.T) {
	c := load(t, tree(t, map[string]string{MainFile: "[metrics]\nlisten = \"[::1]:9100\"\n"}))
	if want := netip.MustParseAddrPort("[::1]:9100"); !slices.Equal(c.Metrics.Listen, []netip.AddrPort{want}) {
		t.Errorf("listens on %v, want %v", c.Metrics.Listen, want)
	}
}

// TestMetricsMayHaveSeveralAddresses, which are printed so that they are read again.
func TestMetricsMayHaveSeveralAddresses(t *testing.T) {
	const literal = `["127.0.0.1:9100", "[::1]:9100"]`
	c := load(t, tree(t, map[string]string{MainFile: "[metrics]\nlisten = " + literal + "\nweb_config = \"/etc/buildwatch/web.yml\"\n"}))
	if len(c.Metrics.Listen) != 2 || c.Metrics.WebConfig != "/etc/buildwatch/web.yml" {
		t.Errorf("got %+v", c.Metrics)
	}
	if !slices.ContainsFunc(c.Values(), func(v api.ConfigValue) bool { return v.Key == "metrics.listen" && v.Value == literal }) {
		t.Errorf("printed are %+v", c.Values())
	}
}

func TestMaxRuntimeMayBeNone(t *testing.T) {
	if d := Default().Policy.MaxRuntime; d != 0 {
		t.Errorf("by default it is %v", d)
	}
	for text, want := range map[string]time.Duration{"0s": 0, "0": 0, "1s": time.Second, "2h": 2 * time.Hour, "720h": 720 * time.Hour} {
		c := load(t, tree(t, map[string]string{MainFile: "[policy]\nmax_runtime = \"" + text + "\"\n"}))
		if c.Policy.MaxRuntime != want {
			t.Errorf("%q is %v", text, c.Policy.MaxRuntime)
		}
	}
}

// Every field of Config has exactly one key of its name, and the key sets that
// field and no other. The limits of builds, which are a map, have tests of their own.
func TestKeysAndFieldsAgree(t *testing.T) {
	fields := make(map[string]bool)
	config := reflect.TypeFor[Config]()
	for section := range config.Fields() {
		if !section.IsExported() {
			continue
		}
		for field := range section.Type.Fields() {
			fields[snake(section.Name)+"."+snake(field.Name)] = true
		}
	}
	delete(fields, "limits.builds")
	for _, k := range keys {
		if _, ok := k.kind.(property); ok {
			continue
		}
		if !fields[k.name] {
			t.Errorf("key %s has no field, or two keys have one name", k.name)
		}
		delete(fields, k.name)
		changed := unlikely()
		k.kind.reset(changed)
		if got := changedFields(changed); len(got) != 1 || got[0] != k.name {
			t.Errorf("key %s sets %v", k.name, got)
		}
	}
	for name := range fields {
		t.Errorf("field %s has no key", name)
	}
}

// unlikely returns a configuration whose values are no key's default.
func unlikely() *Config {
	c := &Config{}
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if !v.Type().Field(i).IsExported() {
			continue
		}
		for _, field := range v.Field(i).Fields() {
			switch f := field; f.Kind() {
			case reflect.Int, reflect.Int64:
				f.SetInt(1)
			case reflect.String:
				f.SetString("unlikely")
			}
		}
	}
	return c
}

// changedFields returns the names of the fields that are not unlikely's.
func changedFields(c *Config) (names []string) {
	v, before := reflect.ValueOf(c).Elem(), reflect.ValueOf(unlikely()).Elem()
	for i := range v.NumField() {
		if !v.Type().Field(i).IsExported() {
			continue
		}
		for j := range v.Field(i).NumField() {
			if f := v.Field(i).Field(j); !reflect.DeepEqual(f.Interface(), before.Field(i).Field(j).Interface()) {
				names = append(names, snake(v.Type().Field(i).Name)+"."+snake(v.Field(i).Type().Field(j).Name))
			}
		}
	}
	return names
}

// snake turns ThatOne into that_one.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// TestHookIsATemplateOfAService: anything else could never be started with an ID.
func TestHookIsATemplateOfAService(t *testing.T) {
	for unit, good := range map[string]bool{
		"": true, "notify-build@.service": true, "a.b_c:d@.service": true,
		"notify.service": false, "notify@x.service": false, "@.service": false, "a b@.service": false, "a@.timer": false,
		"/bin/sh@.service": false, "a@@.service": false, "ä@.service": false, "a@.service\\n": false, strings.Repeat("a", 300) + "@.service": false,
	} {
		c, err := Load(tree(t, map[string]string{MainFile: "[on_end]\nstart = \"" + unit + "\"\n"}))
		if (err == nil) != good || good && c.OnEnd.Start != unit && unit != "" {
			t.Errorf("%q: %v", unit, err)
		}
	}
}
