package scopes

import (
	"context"
	"testing"
)

// TestWhatAScopeIsShortOf: its own limit is named, that of a container or a slice is not.
func TestWhatAScopeIsShortOf(t *testing.T) {
	base := t.TempDir()
	makeDirs(t, base, "s")
	dir, err := openDir(t, base).sub("s")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	s := &Scope{dir: dir}
	if got := s.Shortage(Memory); got != (Shortage{}) {
		t.Errorf("without the controller: %+v", got)
	}
	if _, err := s.AwaitShortage(context.Background(), Tasks, 0); err == nil {
		t.Error("one is awaited where there is nothing to look at")
	}
	for file, content := range map[string]string{
		"memory.events": "low 0\nhigh 7\nmax 9\noom 2\noom_kill 3\noom_group_kill 0\n", "memory.events.local": "oom 0\noom_kill 3\n",
		"memory.max": "67108864\n", "pids.events": "max 4\n", "pids.events.local": "max 1\n", "pids.max": "500\n",
	} {
		writeFile(t, base+"/s/"+file, content)
	}
	if got, want := s.Shortage(Memory), (Shortage{Count: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := s.Shortage(Tasks), (Shortage{4, "TasksMax=500"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	writeFile(t, base+"/s/memory.events.local", "oom 1\n")
	if got, want := s.Shortage(Memory), (Shortage{3, "MemoryMax=64M"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestCountsOfEvents(t *testing.T) {
	for content, want := range map[string]uint64{"oom_kill 3\n": 3, "oom 1\noom_kill 4": 4, "oom_kill_x 5\n": 0, "": 0, "oom_kill\n": 0, "oom_kill -1\n": 0} {
		if got := countOf([]byte(content), "oom_kill"); got != want {
			t.Errorf("%q: %d", content, got)
		}
	}
}
