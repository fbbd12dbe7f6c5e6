package wire

import (
	"reflect"
	"strings"
	"testing"
)

func TestEachMessageSurvivesTheWire(t *testing.T) {
	for _, m := range []Message{
		{Type: Prepare, Container: "buildah-buildah123"},
		{Type: Prepared, CgroupsPath: "/system.slice/buildwatch-x.scope/payload/run-y"},
		{Type: Enter},
		{Type: Entered},
		{Type: Refused, Reason: "no"},
		{Type: Ended, Reason: "stopped"},
	} {
		m.Version = version
		got, err := Decode(Encode(m))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("Decode(Encode(%+v)) = %+v, %v", m, got, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, packet := range map[string]string{
		"nothing":           ``,
		"not JSON":          `hello`,
		"half a message":    `{"v":1,"type":"enter"`,
		"two messages":      `{"v":1,"type":"enter"}{"v":1,"type":"enter"}`,
		"another version":   `{"v":2,"type":"enter"}`,
		"no version":        `{"type":"enter"}`,
		"unknown type":      `{"v":1,"type":"kill"}`,
		"no container":      `{"v":1,"type":"prepare"}`,
		"path as container": `{"v":1,"type":"prepare","container":"../x"}`,
		"relative cgroup":   `{"v":1,"type":"prepared","cgroups_path":"x"}`,
		"too long":          `{"v":1,"type":"refused","reason":"` + strings.Repeat("x", MaxMessage) + `"}`,
	} {
		if m, err := Decode([]byte(packet)); err == nil {
			t.Errorf("%s: Decode = %+v, want an error", name, m)
		}
	}
}

func TestCheckContainerID(t *testing.T) {
	for _, id := range []string{"buildah-buildah1", "a", "A_b.c+d-9", strings.Repeat("x", MaxContainerID)} {
		if err := CheckContainerID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", "a/b", "/a", "a\n", "a b", "-a", "a\x00", "ä", strings.Repeat("x", MaxContainerID+1)} {
		if err := CheckContainerID(id); err == nil {
			t.Errorf("%q was accepted", id)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"v":1,"type":"prepare","container":"buildah-buildah123"}`))
	f.Add([]byte(`{"v":1,"type":"prepared","cgroups_path":"/a/b"}`))
	f.Add([]byte(`{"v":1,"type":"ended","reason":"\u0000"}`))
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, err := Decode(packet)
		if err != nil {
			return
		}
		if m.Type == Prepare && strings.ContainsAny(m.Container, "/\x00\n") {
			t.Fatalf("container %q came through", m.Container)
		}
		packet = Encode(m)
		if len(packet) > MaxMessage {
			return // escapes are longer than what they stand for
		}
		if again, err := Decode(packet); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}
