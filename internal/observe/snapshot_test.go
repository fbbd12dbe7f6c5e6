package observe

import (
	"os"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// stat is a line of /proc/PID/stat with a comm.
func stat(comm string) string {
	return "4711 (" + comm + ") S 12 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3\n"
}

func TestStatIsReadWhateverTheProcessIsCalled(t *testing.T) {
	for _, comm := range []string{"sh", "", ") R 1 (x", "a b", "new\nline", "((((", "))))", "\x1b[31m", "\xff\xfe"} {
		e, err := parseStat([]byte(stat(comm)))
		if want := (entry{proc.Identity{PID: 4711, Start: 987654}, 12, comm, false, false, 0}); err != nil || e != want {
			t.Errorf("%q: %+v, %v", comm, e, err)
		}
	}
}

func TestWhatIsNoStatIsRefused(t *testing.T) {
	for _, line := range []string{
		"", "(", ")(", "4711", "4711 (sh)", "4711 (sh) S", "x (sh) S 12", "-1" + stat("sh")[4:],
		strings.Replace(stat("sh"), "S 12", "S -1", 1), strings.Replace(stat("sh"), "987654", "soon", 1),
	} {
		if e, err := parseStat([]byte(line)); err == nil {
			t.Errorf("%q is read as %+v", line, e)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(stat("sh")))
	f.Add([]byte(stat(") R 1 (x")))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := parseStat(line)
		if err == nil && (e.PID <= 0 || e.ppid < 0) {
			t.Errorf("%q is read as %+v", line, e)
		}
	})
}

func TestALookSeesThisProcess(t *testing.T) {
	all, err := look()
	if err != nil {
		t.Fatal(err)
	}
	h, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if e := all[h.PID]; e.Identity != h.Identity || e.ppid != os.Getppid() {
		t.Errorf("it is %+v, want %+v below %d", e, h.Identity, os.Getppid())
	}
}

// BenchmarkLook measures one look at the processes of this host.
func BenchmarkLook(b *testing.B) {
	p := &programs{systems: map[device]bool{}}
	p.refresh()
	scan := new(scanner)
	var n int
	for b.Loop() {
		all, err := scan.look()
		if err != nil {
			b.Fatal(err)
		}
		for pid := range all {
			p.builder(pid)
		}
		n = len(all)
	}
	b.ReportMetric(float64(n), "processes")
}

// look is that of a scanner which remembers nobody.
func look() (snapshot, error) { return new(scanner).look() }

// TestAPIDOfTheKernelsIsSeenToBeAProcessAgain: threads of the kernel end, and their PIDs
// come to be anybody's.
func TestAPIDOfTheKernelsIsSeenToBeAProcessAgain(t *testing.T) {
	self := os.Getpid()
	s := &scanner{threads: map[int]entry{self: {Identity: proc.Identity{PID: self}, ppid: kernelsParent, thread: true}}}
	for range 2 {
		all, err := s.look()
		if err != nil {
			t.Fatal(err)
		}
		if e := all[self]; e.thread || e.ppid != os.Getppid() || e.Start == 0 {
			t.Errorf("this process is taken for %+v", e)
		}
		for pid, e := range s.threads {
			if !e.thread || all[pid] != e || proc.Exe(pid) != "" {
				t.Errorf("%d is taken for a thread of the kernel: %+v", pid, e)
			}
		}
	}
}
