package wrapper

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestWithCgroupsPathChangesNothingElse(t *testing.T) {
	const config = `{"ociVersion":"1.2.0","process":{"rlimits":[{"hard":18446744073709551615}]},` +
		`"linux":{"resources":{"memory":{"limit":67108864}},"cgroupsPath":"","namespaces":[{"type":"pid"}]},"x":1e400}`
	changed, err := withCgroupsPath([]byte(config), "/a/b.scope/payload/run-c")
	if err != nil {
		t.Fatal(err)
	}
	var before, after map[string]json.RawMessage
	mustUnmarshal(t, []byte(config), &before)
	mustUnmarshal(t, changed, &after)
	var linuxBefore, linuxAfter map[string]json.RawMessage
	mustUnmarshal(t, before["linux"], &linuxBefore)
	mustUnmarshal(t, after["linux"], &linuxAfter)
	if got := string(linuxAfter["cgroupsPath"]); got != `"/a/b.scope/payload/run-c"` {
		t.Errorf("cgroupsPath is %s", got)
	}
	delete(before, "linux")
	delete(after, "linux")
	delete(linuxBefore, "cgroupsPath")
	delete(linuxAfter, "cgroupsPath")
	// Raw values: not even a number that no float64 can hold may change.
	if !reflect.DeepEqual(before, after) || !reflect.DeepEqual(linuxBefore, linuxAfter) {
		t.Errorf("more than cgroupsPath changed:\n%s\n%s", config, changed)
	}
}

func mustUnmarshal(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("%v in %s", err, content)
	}
}

func TestWithCgroupsPathRefuses(t *testing.T) {
	for name, config := range map[string]string{
		"nothing":                ``,
		"not JSON":               `hello`,
		"cut off":                `{"linux":{`,
		"an array":               `[]`,
		"no linux":               `{"ociVersion":"1.0.0"}`,
		"linux is null":          `{"linux":null}`,
		"linux is a string":      `{"linux":"x"}`,
		"a cgroup of the user's": `{"linux":{"cgroupsPath":"user.slice"}}`,
	} {
		if changed, err := withCgroupsPath([]byte(config), "/x"); err == nil {
			t.Errorf("%s: became %s", name, changed)
		}
	}
}

// TestCgroupOfTheCallersIsNotTold: the error goes to the journal, and --cgroup-parent is
// an argument.
func TestCgroupOfTheCallersIsNotTold(t *testing.T) {
	_, err := withCgroupsPath([]byte(`{"linux":{"cgroupsPath":"/token-of-the-caller"}}`), "/x")
	if err == nil || strings.Contains(err.Error(), "token") {
		t.Errorf("error %v", err)
	}
}

func FuzzWithCgroupsPath(f *testing.F) {
	f.Add([]byte(`{"linux":{"cgroupsPath":""},"root":{"path":"/"}}`))
	f.Add([]byte(`{"linux":{}}`))
	f.Fuzz(func(t *testing.T, config []byte) {
		changed, err := withCgroupsPath(config, "/x")
		if err != nil {
			return
		}
		var parsed struct {
			Linux struct {
				CgroupsPath string `json:"cgroupsPath"`
			} `json:"linux"`
		}
		var top, linux map[string]json.RawMessage
		mustUnmarshal(t, changed, &top)
		mustUnmarshal(t, top["linux"], &linux)
		mustUnmarshal(t, linux["cgroupsPath"], &parsed.Linux.CgroupsPath)
		if parsed.Linux.CgroupsPath != "/x" {
			t.Fatalf("%s became %s", config, changed)
		}
	})
}
